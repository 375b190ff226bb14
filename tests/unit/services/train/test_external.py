"""Units of an evaluation: films judged as inference judges them, and the report on them."""

from pathlib import Path

import pytest

from services.train import external
from services.train.external import JudgeTask, judge_shard, published_network, write_report
from shared.datasets.sources import open_source
from shared.digests import sha256_hex
from shared.domain.films import FilmShard, describe
from shared.errors import DatasetError, JobInterrupted, ModelCorrupt, ObjectNotFound, StoreError
from shared.evaluations import flow
from shared.evaluations.plan import REPORT, EvaluationPlan, JudgedShard, make_evaluation
from shared.imaging.preprocess import Preprocessing, prepare
from shared.modelling.calibration import calibrate, softmax
from shared.modelling.engines.onnx import OnnxEngine
from shared.queue.attempts import WorkerLost
from shared.queue.messages import Message
from shared.queue.unit_task import UnitTask
from shared.store import layout, models
from shared.store.directory import DirectoryStore
from shared.store.documents import document, parse_document
from shared.store.ingest import ingest, write_manifests
from tests.support.builders import (
    Tries,
    film_place,
    model_card,
    model_place,
    preprocessing_card,
    shard_place,
    small_manifest,
    small_plan,
)
from tests.support.external import judge
from tests.support.memory_queue import MemoryQueue
from tests.support.published import NETWORK, SIZE, version_files

TEMPERATURE = 1.5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, synthetic_films: Path) -> DirectoryStore:
    """A store with a version of another data set, and generated films."""
    store = DirectoryStore(tmp_path_factory.mktemp("store"))
    training = small_manifest()
    write_manifests(store, describe(training), training)
    run = small_plan()
    store.put(layout.run_plan(run.run), run.model_dump_json().encode())
    card = model_card(
        NETWORK, "v1", run=run.run, temperature=TEMPERATURE, preprocessing=preprocessing_card(SIZE), synthetic=True
    )
    models.publish(store, card, version_files()["v1"])
    ingest(store, open_source(synthetic_films), "films")
    return store


@pytest.fixture
def store(made: DirectoryStore, tmp_path: Path) -> DirectoryStore:
    """A copy, for tests that change it."""
    copy = DirectoryStore(tmp_path)
    for key in made.list(""):
        copy.put(key, made.get(key))
    return copy


@pytest.fixture(autouse=True)
def _nothing_is_loaded_yet() -> None:
    published_network.cache_clear()


def planned(store: DirectoryStore) -> EvaluationPlan:
    return flow.start(store, MemoryQueue(), make_evaluation(store, NETWORK, "v1", "films"))


def judged(store: DirectoryStore, plan: EvaluationPlan, shard: str = "000000") -> JudgedShard:
    network = published_network(store, NETWORK, "v1", 1)
    return judge_shard(store, plan, shard, network, Tries(), max_tries=2)


class TestJudgeShard:
    def test_films_have_the_probabilities_that_inference_gives_them(self, made: DirectoryStore) -> None:
        shard = judged(made, planned(made))
        assert [answer.film for answer in shard.judged] == [f"mdb{number:03d}" for number in range(1, 9)]
        assert shard.refused == ()
        engine = OnnxEngine(version_files()["v1"]["model.onnx"], 1)
        prepared = prepare(made.get(film_place(made, "mdb003")), Preprocessing(size=SIZE))
        expected = calibrate(softmax(engine.run(prepared.input[None]).logits), TEMPERATURE)[0]
        assert shard.judged[2].probabilities == pytest.approx(expected.tolist(), abs=1e-6)

    def test_films_that_are_left_out_are_not_judged(self, made: DirectoryStore) -> None:
        plan = planned(made)
        left_out = plan.left_out.model_copy(update={"films": ("mdb001", "mdb005")})
        shard = judged(made, plan.model_copy(update={"left_out": left_out}))
        assert [answer.film for answer in shard.judged] == [f"mdb00{number}" for number in (2, 3, 4, 6, 7, 8)]

    def test_films_that_inference_refuses_are_named_and_the_others_judged(self, store: DirectoryStore) -> None:
        plan, place, bad = planned(store), shard_place(store, "000000"), b"no film"
        store.put(film_place(store, "mdb002"), bad)
        shard = parse_document(place, store.get(place), FilmShard)
        films = [
            film.model_copy(update={"sha256": sha256_hex(bad)} if film.id == "mdb002" else {}) for film in shard.films
        ]
        store.put(place, document(shard.model_copy(update={"films": tuple(films)})))
        found = judged(store, plan)
        assert [(film.film, film.code) for film in found.refused] == [("mdb002", "unsupported-image")]
        assert len(found.judged) == 7

    def test_a_film_that_is_missing_gives_the_unit_up_and_is_judged_once_it_is_back(
        self, store: DirectoryStore
    ) -> None:
        plan, place = planned(store), film_place(store, "mdb004")
        film = store.get(place)
        store.delete(place)
        with pytest.raises(ObjectNotFound, match="mdb004"):
            judged(store, plan)
        store.put(place, b"another film")
        with pytest.raises(StoreError, match="is not film mdb004 as it was ingested; restore it"):
            judged(store, plan)
        store.put(place, film)
        assert len(judged(store, plan).judged) == 8

    def test_a_film_at_which_workers_died_gives_the_unit_up_and_is_tried_again(self, made: DirectoryStore) -> None:
        network, plan, tries = published_network(made, NETWORK, "v1", 1), planned(made), Tries(mdb010=2)
        with pytest.raises(WorkerLost, match="film mdb010: the worker died"):
            judge_shard(made, plan, "000001", network, tries, max_tries=2)
        assert len(judge_shard(made, plan, "000001", network, tries, max_tries=2).judged) == 8

    def test_a_fault_of_the_worker_refuses_no_film(self, made: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        def out_of_memory(*_: object) -> None:
            raise MemoryError("no memory")

        monkeypatch.setattr(external, "decode", out_of_memory)
        with pytest.raises(MemoryError):
            judged(made, planned(made))

    def test_it_stops_between_two_films_when_the_worker_ends(self, made: DirectoryStore) -> None:
        answers = iter((False, False, True))
        network = published_network(made, NETWORK, "v1", 1)
        tries = Tries()
        with pytest.raises(JobInterrupted):
            judge_shard(made, planned(made), "000000", network, tries, 2, stopping=lambda: next(answers))


class TestPublishedNetwork:
    def test_a_graph_that_is_not_the_published_one_judges_nothing(self, store: DirectoryStore) -> None:
        store.put(model_place(store, NETWORK, "v1", "model.onnx"), version_files()["v2"]["model.onnx"])
        with pytest.raises(ModelCorrupt, match="differs from its card"):
            published_network(store, NETWORK, "v1", 1)


class TestJudgeTask:
    def test_shards_and_the_report_are_done_and_are_not_done_again(self, store: DirectoryStore) -> None:
        plan, queue, task = planned(store), MemoryQueue(), JudgeTask(retries=1, threads=1)
        for name in (*plan.shards, REPORT):
            unit = task.load(store, Message(run=plan.evaluation, unit=name))
            assert not task.is_done(store, unit)
            _execute(task, store, unit)
            assert task.is_done(store, unit)
            task.advance(store, queue, unit)
        found = flow.read_external_evaluation(store, plan)
        assert found
        assert (found.metrics.n_films, found.metrics.n_patients, found.refused) == (16, 8, ())
        assert found.synthetic
        assert (found.trained_on, found.dataset, found.dataset_version) == ("small", "films", 1)
        assert store.exists(layout.evaluation_report(plan.evaluation, "index.html"))

    def test_a_damaged_report_or_shard_is_made_again(self, store: DirectoryStore) -> None:
        plan, task = planned(store), JudgeTask(retries=1, threads=1)
        judge(store, plan)
        write_report(store, plan)
        report = task.load(store, Message(run=plan.evaluation, unit=REPORT))
        shard = task.load(store, Message(run=plan.evaluation, unit="000000"))
        assert task.is_done(store, report)
        assert task.is_done(store, shard)
        store.put(layout.evaluation_report(plan.evaluation, "index.html"), b"<html>")
        store.put(plan.done_key("000000"), b"")
        assert not task.is_done(store, report)
        assert not task.is_done(store, shard)

    def test_the_reason_of_a_unit_that_is_given_up_is_stored(self, store: DirectoryStore) -> None:
        plan, task = planned(store), JudgeTask(retries=1, threads=1)
        message = Message(run=plan.evaluation, unit="000000")
        assert task.on_failure(store, None, message, ModelCorrupt("it is damaged")) == "it is damaged"
        assert [failure.unit for failure in flow.failures(store, plan)] == ["000000"]


class TestWriteReport:
    def test_the_same_answers_give_the_same_bytes(self, store: DirectoryStore) -> None:
        plan = planned(store)
        judge(store, plan)
        write_report(store, plan)
        prefix = layout.evaluation_report(plan.evaluation, "")
        before = {key: store.get(key) for key in store.list(prefix)}
        write_report(store, plan)
        assert {key: store.get(key) for key in store.list(prefix)} == before
        names = {key.removeprefix(prefix) for key in before}
        assert names == {
            "index.html",
            "metrics.json",
            "predictions.json",
            "digests.json",
            "confusion.png",
            "roc.png",
            "calibration.png",
        }

    def test_without_any_answer_there_is_no_report(self, store: DirectoryStore) -> None:
        plan = planned(store)
        for shard in plan.shards:
            store.put(plan.done_key(shard), JudgedShard(judged=(), refused=()).model_dump_json().encode())
        with pytest.raises(DatasetError, match="no film that the version can judge"):
            write_report(store, plan)


def _execute(
    task: UnitTask[external.PlannedEvaluationUnit], store: DirectoryStore, unit: external.PlannedEvaluationUnit
) -> None:
    class Broker(Tries, MemoryQueue):
        """Counts tries, and takes messages."""

    task.execute(store, Broker(), unit, lambda: False)
