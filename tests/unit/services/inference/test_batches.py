"""A part of a batch: the same answers as over HTTP, and what becomes of images that can't be predicted."""

import hashlib
import os
import threading
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient

from services.inference import batches, tasks
from services.inference.batches import BatchLimits, failed_line, predict_part, to_document
from services.inference.serving.model_loader import WantedEngine, load_model
from services.inference.serving.predictor import Prediction, ServedModel, predict
from shared.api.batches import BatchLine, BatchRequest
from shared.batches import flow
from shared.batches.plan import BatchPlan, batch_id, make_batch
from shared.errors import InputError, JobInterrupted, StoreMisconfigured, StoreUnavailable
from shared.imaging.formats.decode import encode_pgm, encode_png
from shared.modelling.applicability import TrainedOn
from shared.queue.messages import Message
from shared.settings import BatchProcessSettings, StoreSettings
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support.builders import Tries
from tests.support.memory_queue import MemoryQueue
from tests.support.published import NETWORK
from tests.support.settings import NO_BROKER

LIMITS = BatchLimits(most_bytes=2 << 20, max_tries=3)
GREY = encode_png(np.full((512, 512), 128, np.uint8))


@pytest.fixture
def model(store: DirectoryStore) -> ServedModel:
    return load_model(store, NETWORK, "v1", WantedEngine(1, "onnx"))


def planned(store: DirectoryStore, *names: str, **asked: str) -> BatchPlan:
    request = BatchRequest(keys=tuple(f"inbox/{name}" for name in names), **asked)
    return make_batch(store, batch_id("me", None), request, "inbox/", owner="me", network=NETWORK, version="v1")


def answered(
    store: DirectoryStore, model: ServedModel, *names: str, tries: Tries | None = None, **asked: str
) -> list[BatchLine]:
    return predict_part(store, planned(store, *names, **asked), "000000", model, tries or Tries(), LIMITS)


class TestToDocument:
    def test_a_file_name_that_is_not_utf_8_gets_its_problem_and_the_others_go_on(
        self, store: DirectoryStore, model: ServedModel, film: np.ndarray
    ) -> None:
        store.put("inbox/good.png", encode_png(film))
        (store.root / os.fsdecode(b"inbox/gr\xf6\xdfe.png")).write_bytes(encode_png(film))
        asked = BatchRequest(prefix="inbox/")
        plan = make_batch(store, batch_id("me", None), asked, "inbox/", owner="me", network=NETWORK, version="v1")
        document = to_document(predict_part(store, plan, "000000", model, Tries(), LIMITS))
        good, bad = (BatchLine.model_validate_json(line) for line in document.splitlines())
        assert good.finding is not None
        assert (bad.index, bad.key) == (1, "inbox/gr\\udcf6\\udcdfe.png")
        assert bad.problem is not None
        assert (bad.problem.code, bad.finding) == ("image-unreadable", None)
        assert "rename the file" in bad.problem.detail


class TestPredictTask:
    @pytest.mark.parametrize("lists", ["whole", "lost"])
    def test_a_part_is_given_up_whatever_the_reason_and_its_lists_hold(self, store: DirectoryStore, lists: str) -> None:
        store.put("inbox/good.png", b"")
        (store.root / os.fsdecode(b"inbox/gr\xf6\xdfe.png")).write_bytes(b"")
        asked, queue = BatchRequest(prefix="inbox/"), MemoryQueue()
        (predicting,) = tasks.unit_tasks(BatchProcessSettings(store=StoreSettings(url="unused"), broker=NO_BROKER))
        plan = make_batch(store, batch_id("me", None), asked, "inbox/", owner="me", network=NETWORK, version="v1")
        if lists == "lost":
            for key in list(store.list(f"batches/{plan.batch}/keys/")):
                store.delete(key)
        predicting.on_failure(store, queue, Message(run=plan.batch, unit="000000"), InputError("\udcff is damaged"))
        assert flow.describe(store, plan).state == "done"
        lines = [BatchLine.model_validate_json(line) for line in b"".join(flow.read_results(store, plan)).splitlines()]
        keys_told = ["inbox/good.png", "inbox/gr\\udcf6\\udcdfe.png"] if lists == "whole" else ["", ""]
        assert [(line.index, line.key) for line in lines] == list(enumerate(keys_told))
        assert {line.problem.detail for line in lines if line.problem} == {"\\udcff is damaged"}


class TestPredictPart:
    def test_an_image_is_answered_as_over_http(
        self, ready: FlaskClient, store: DirectoryStore, model: ServedModel, film: np.ndarray
    ) -> None:
        data = encode_pgm(film)
        store.put("inbox/film.pgm", data)
        (line,) = answered(store, model, "film.pgm", operating_point="balanced")
        assert (line.index, line.key, line.problem, line.heatmap) == (0, "inbox/film.pgm", None, None)
        assert line.finding is not None
        told = ready.post("/v1/predictions?operating_point=balanced", data=data).json
        found = line.finding.model_dump(mode="json", exclude={"seconds"})
        assert found == {name: told[name] for name in found}
        assert 0 < line.finding.seconds.network <= line.finding.seconds.total

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (None, "object-not-found"),
            (b"", "undecodable-image"),
            (b"no image", "unsupported-image"),
            (GREY, "not-a-mammogram"),
            (bytes(3 << 20), "image-too-large"),
        ],
        ids=["missing", "empty", "text", "grey", "large"],
    )
    def test_an_image_that_can_not_be_predicted_gets_its_problem_and_the_others_go_on(
        self, store: DirectoryStore, model: ServedModel, film: np.ndarray, data: bytes | None, code: str
    ) -> None:
        store.put("inbox/good.png", encode_png(film))
        if data is not None:
            store.put("inbox/bad", data)
        tries = Tries()
        good, bad, again = answered(store, model, "good.png", "bad", "good.png", tries=tries)
        assert bad.problem is not None
        assert (bad.index, bad.key, bad.problem.code, bad.finding) == (1, "inbox/bad", code, None)
        assert good.finding is not None
        assert again.finding is not None
        assert good.finding.probabilities == again.finding.probabilities
        assert tries.begun == {}

    def test_a_problem_is_told_as_over_http(
        self, ready: FlaskClient, store: DirectoryStore, model: ServedModel
    ) -> None:
        store.put("inbox/grey.png", GREY)
        (line,) = answered(store, model, "grey.png")
        told = ready.post("/v1/predictions", data=GREY).json
        assert line.problem is not None
        assert (line.problem.code, line.problem.detail) == (told["title"], told["detail"])

    def test_a_line_tells_what_is_known_of_the_film_and_whether_the_model_was_made_for_it(
        self, store: DirectoryStore, model: ServedModel, film: np.ndarray
    ) -> None:
        store.put("inbox/film.png", encode_png(film))
        trained_on = TrainedOn(films=9, views={}, acquisitions={}, vendors={}, bits={12: 9})
        of_12_bits = replace(model, card=model.card.model_copy(update={"trained_on": trained_on}))
        (old,), (new,) = (answered(store, each, "film.png") for each in (model, of_12_bits))
        for line, applies in ((old, None), (new, False)):
            assert line.finding is not None
            assert line.finding.about is not None
            assert line.finding.about.laterality.source == "shape"
            assert line.finding.applicability is not None
            assert line.finding.applicability.applies is applies

    def test_heat_maps_are_stored_where_they_are_asked_for(
        self, store: DirectoryStore, model: ServedModel, film: np.ndarray
    ) -> None:
        store.put("inbox/film.png", encode_png(film))
        plan = planned(store, "film.png", explain="heatmap")
        (line,) = predict_part(store, plan, "000000", model, Tries(), LIMITS)
        png = store.get(line.heatmap)
        assert line.heatmap == layout.batch_heatmap(plan.batch, 0, hashlib.sha256(png).hexdigest())
        assert line.finding is not None
        likelier = max(("benign", "malignant"), key=dict(line.finding.probabilities).__getitem__)
        assert (line.finding.decision.answer, line.heatmap_class) == ("abnormal", likelier)
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        assert picture.shape == (512, 512, 4)

    def test_an_unexpected_error_is_tried_again_and_tells_nothing_of_the_image(
        self, store: DirectoryStore, model: ServedModel, film: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("inbox/film.png", encode_png(film))
        calls = []

        def failing(*arguments: Any, **options: Any) -> Prediction:
            calls.append(arguments)
            if len(calls) < failures:
                raise ValueError("DOE^JANE")
            return predict(*arguments, **options)

        monkeypatch.setattr(batches, "predict", failing)
        failures = 3
        (line,) = answered(store, model, "film.png")
        assert line.finding is not None
        calls.clear()
        failures = 99
        (line,) = answered(store, model, "film.png")
        assert len(calls) == LIMITS.max_tries
        assert line.problem is not None
        assert (line.problem.code, "JANE" in line.problem.detail) == ("internal", False)

    def test_an_image_that_killed_its_worker_every_time_is_given_up(
        self, store: DirectoryStore, model: ServedModel, film: np.ndarray
    ) -> None:
        store.put("inbox/film.png", encode_png(film))
        (line,) = answered(store, model, "film.png", tries=Tries(**{"000000": LIMITS.max_tries}))
        assert line.problem is not None
        assert line.problem.code == "worker-lost"

    def test_an_object_that_the_store_refuses_is_a_problem_of_its_own(
        self, store: DirectoryStore, model: ServedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(key: str) -> int:
            raise StoreMisconfigured(f"{key}: AccessDenied")

        monkeypatch.setattr(store, "size", refused)
        (line,) = answered(store, model, "locked.png")
        assert line.problem is not None
        assert line.problem.code == "image-unreadable"

    def test_a_store_that_is_away_is_no_fault_of_the_image(
        self, store: DirectoryStore, model: ServedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(key: str) -> int:
            raise StoreUnavailable("away")

        tries = Tries()
        monkeypatch.setattr(store, "size", away)
        with pytest.raises(StoreUnavailable):
            answered(store, model, "film.png", tries=tries)
        assert tries.begun == {"000000": 0}

    def test_a_part_that_is_to_stop_does_so_between_two_images(
        self, store: DirectoryStore, model: ServedModel, film: np.ndarray
    ) -> None:
        store.put("inbox/film.png", encode_png(film))
        plan, asked, tries = planned(store, *["film.png"] * 5), [], Tries()

        def stopping() -> bool:
            asked.append(True)
            return len(asked) == 3

        with pytest.raises(JobInterrupted):
            predict_part(store, plan, "000000", model, tries, LIMITS, stopping)
        assert tries.begun == {}

    def test_images_are_processed_at_once_and_their_lines_keep_their_order(
        self, store: DirectoryStore, model: ServedModel, film: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("inbox/film.png", encode_png(film))
        together = threading.Barrier(4, timeout=20)

        def meeting(*arguments: Any, **options: Any) -> Prediction:
            together.wait()  # broken unless four images are at work
            return predict(*arguments, **options)

        monkeypatch.setattr(batches, "predict", meeting)
        plan = planned(store, *["film.png"] * 8)
        lines = predict_part(store, plan, "000000", model, Tries(), replace(LIMITS, at_once=4))
        assert [(line.index, line.problem) for line in lines] == [(index, None) for index in range(8)]

    def test_a_part_that_a_worker_died_in_is_processed_image_by_image(
        self, store: DirectoryStore, model: ServedModel, film: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put("inbox/film.png", encode_png(film))
        at_work, most = [0], [0]

        def counting(*arguments: Any, **options: Any) -> Prediction:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
            try:
                return predict(*arguments, **options)
            finally:
                at_work[0] -= 1

        monkeypatch.setattr(batches, "predict", counting)
        plan, tries = planned(store, *["film.png"] * 6), Tries(**{"000003": 1})
        lines = predict_part(store, plan, "000000", model, tries, replace(LIMITS, at_once=4))
        assert [line.problem for line in lines] == [None] * 6
        assert most == [1]

    def test_a_crash_costs_the_images_next_to_it_no_try_and_its_own_image_all(
        self, store: DirectoryStore, model: ServedModel, film: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without retries: the worker died while images 0 to 3 were at work, and again in image 2 by itself."""
        store.put("inbox/film.png", encode_png(film))
        plan, limits = planned(store, *["film.png"] * 6), replace(LIMITS, max_tries=1, at_once=4)
        tries = Tries(**{"000000": 1, "000001": 1, "000002": 2, "000003": 1})
        lines = predict_part(store, plan, "000000", model, tries, limits)
        assert [line.problem and line.problem.code for line in lines] == [None, None, "worker-lost", None, None, None]

        def failing(*_arguments: Any, **_options: Any) -> Prediction:
            calls.append(True)
            raise ValueError("damaged")

        calls = list[bool]()
        monkeypatch.setattr(batches, "predict", failing)
        predict_part(store, plan, "000000", model, Tries(**{"000000": 1}), limits)
        assert len(calls) == 6

    def test_an_operating_point_that_the_model_lacks_is_told(self, store: DirectoryStore, model: ServedModel) -> None:
        with pytest.raises(InputError, match="no operating point"):
            answered(store, model, "film.png", operating_point="best")


class TestFailedLine:
    def test_the_document_holds_a_line_for_each_image(self) -> None:
        lines = [failed_line(number, f"inbox/{number}\u2028.png", StoreUnavailable("away")) for number in range(3)]
        document = to_document(lines)
        assert [BatchLine.model_validate_json(line) for line in document.split(b"\n")[:-1]] == lines
        assert document.endswith(b"\n")
