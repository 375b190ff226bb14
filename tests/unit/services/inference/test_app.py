"""The HTTP API: answers, readiness, errors as problem documents, metrics."""

import re
import threading
from functools import partial
from io import BytesIO

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient

from shared.imaging.formats.decode import encode_pgm, encode_png
from shared.imaging.preprocess import Preprocessing, prepare
from shared.modelling.calibration import softmax
from shared.modelling.engines.onnx import OnnxEngine
from shared.store.interface import ObjectStore
from tests.support.published import promote
from tests.support.servers import wait_until
from tests.support.versions import wait_for_version


def encode_by_cv2(ending: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(ending, pixels)[1].tobytes()


class TestApp:
    @pytest.mark.parametrize(
        "encode",
        [encode_pgm, encode_png, *(partial(encode_by_cv2, ending) for ending in (".tiff", ".jpg"))],
        ids=["pgm", "png", "tiff", "jpeg"],
    )
    def test_an_image_gets_class_probabilities_model_and_timing(
        self, ready: FlaskClient, film: np.ndarray, encode: object
    ) -> None:
        answer = ready.post("/v1/predictions", data=encode(film))  # type: ignore[operator]
        assert answer.status_code == 200, answer.text
        body = answer.json
        chances = body["probabilities"]
        assert list(chances) == ["normal", "benign", "malignant"]
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert body["class"] == max(chances, key=chances.get)
        assert body["model"]["version"] == "v1"
        assert len(body["model"]["sha256"]) == 64
        assert 0 < body["seconds"]["network"] <= body["seconds"]["total"]
        assert "not a medical device" in body["notice"]
        assert "synthetic" in body["notice"]
        assert answer.headers["X-Request-Id"] == body["request_id"]

    def test_the_answer_is_that_of_the_published_network_on_the_prepared_film_calibrated_as_its_card_says(
        self, ready: FlaskClient, film: np.ndarray, files: dict[str, dict[str, bytes]]
    ) -> None:
        data = encode_pgm(film)
        logits = OnnxEngine(files["v1"]["model.onnx"], 1).run(prepare(data, Preprocessing(size=64)).input[None]).logits
        temperature = ready.get("/v1/models/modified_cnn/card").json["temperature"]
        assert temperature != 1
        expected = softmax(logits / temperature)[0]
        chances = ready.post("/v1/predictions", data=data).json["probabilities"]
        assert list(chances.values()) == pytest.approx(expected.tolist(), abs=1e-5)

    def test_a_form_upload_gets_the_same_answer_as_the_raw_body(self, ready: FlaskClient, film: np.ndarray) -> None:
        data = encode_png(film)
        raw = ready.post("/v1/predictions", data=data).json
        form = ready.post("/v1/predictions", data={"image": (BytesIO(data), "film.png")}).json
        assert form["probabilities"] == raw["probabilities"]

    def test_the_breast_box_is_in_the_frame_of_the_film_that_was_sent(
        self, ready: FlaskClient, film: np.ndarray
    ) -> None:
        box = ready.post("/v1/predictions", data=encode_png(film)).json["breast_box"]
        mirrored = ready.post("/v1/predictions", data=encode_png(np.ascontiguousarray(film[:, ::-1]))).json[
            "breast_box"
        ]
        assert mirrored["x"] == pytest.approx(1024 - box["x"] - box["width"], abs=2)
        assert mirrored["y"] == box["y"]

    def test_alive_at_once_ready_only_with_a_model(
        self, client: FlaskClient, store: ObjectStore, film: np.ndarray
    ) -> None:
        assert client.get("/healthz").status_code == 200
        for answer in (client.get("/readyz"), client.post("/v1/predictions", data=encode_png(film))):
            assert answer.status_code == 503
            assert answer.json["title"] == "model-not-ready"
            assert answer.headers["Retry-After"]
        promote(store, "v1")
        wait_for_version(client, "v1")

    def test_a_promotion_is_served_without_a_restart(
        self, ready: FlaskClient, store: ObjectStore, film: np.ndarray
    ) -> None:
        data = encode_png(film)
        before = ready.post("/v1/predictions", data=data).json
        promote(store, "v2")
        wait_for_version(ready, "v2")
        after = ready.post("/v1/predictions", data=data).json
        assert after["model"]["version"] == "v2"
        assert after["probabilities"] != before["probabilities"]

    @pytest.mark.parametrize(
        ("data", "status", "title"),
        [
            (b"", 400, "invalid-input"),
            (b"GIF89a and so on", 415, "unsupported-image"),
            (b"P5 64 64 255\n too short", 422, "undecodable-image"),
            (b"P5 60000 60000 255\n", 413, "image-too-large"),
            (encode_png(np.zeros((256, 256), np.uint8)), 422, "not-a-mammogram"),
            (bytes(3 * 2**20), 413, "request-entity-too-large"),
        ],
        ids=["empty", "format", "truncated", "bomb", "blank", "body"],
    )
    def test_bad_input_gets_a_problem_document(self, ready: FlaskClient, data: bytes, status: int, title: str) -> None:
        answer = ready.post("/v1/predictions", data=data)
        assert answer.status_code == status
        assert answer.mimetype == "application/problem+json"
        assert answer.json["title"] == title
        assert answer.json["detail"]
        assert "Traceback" not in answer.text

    def test_a_form_without_a_file_is_told_so(self, ready: FlaskClient) -> None:
        answer = ready.post("/v1/predictions", data={"note": "x"}, content_type="multipart/form-data")
        assert answer.status_code == 400
        assert "contains no file" in answer.json["detail"]

    def test_unknown_routes_and_methods_are_problems_too(self, client: FlaskClient) -> None:
        assert client.get("/nowhere").json["status"] == 404
        wrong = client.get("/v1/predictions")
        assert wrong.status_code == 405
        assert "POST" in wrong.headers["Allow"]

    def test_an_unexpected_error_shows_no_inside(
        self, ready: FlaskClient, monkeypatch: pytest.MonkeyPatch, film: np.ndarray
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("secret inside")

        monkeypatch.setattr("services.inference.serving.predictor.prepare_image", fail)
        answer = ready.post("/v1/predictions", data=encode_png(film))
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert answer.json["request_id"] in answer.json["detail"]

    def test_metrics_count_predictions_refusals_and_answers(self, ready: FlaskClient, film: np.ndarray) -> None:
        def value(line: str) -> float:
            found = [row for row in ready.get("/metrics").text.splitlines() if row.startswith(line)]
            return sum(float(row.rpartition(" ")[2]) for row in found)

        predictions, refusals = (
            'mammo_predictions_total{model_name="modified_cnn"',
            'mammo_refusals_total{reason="not-a-mammogram"}',
        )
        before = value(predictions), value(refusals)
        ready.post("/v1/predictions", data=encode_png(film))
        ready.post("/v1/predictions", data=encode_png(np.zeros((256, 256), np.uint8)))
        assert (value(predictions), value(refusals)) == (before[0] + 1, before[1] + 1)
        assert value('mammo_model_loaded{model_name="modified_cnn",model_version="v1"') == 1

    def test_what_clients_choose_makes_no_series(self, ready: FlaskClient, film: np.ndarray) -> None:
        def series() -> set[str]:
            lines = ready.get("/metrics").text.splitlines()
            return {line.rpartition(" ")[0] for line in lines if line.startswith(("mammo_", "request_"))}

        def ask(word: str) -> None:
            headers = {"X-Request-Id": word, "User-Agent": word}
            ready.get(f"/{word}", headers=headers)
            ready.get(f"/v1/models/{word}/card", headers=headers)
            ready.get(f"/v2/models/{word}/versions/{word}/ready", headers=headers)
            ready.get(f"/v1/batches/{word}", headers=headers)
            ready.open("/v1/predictions", method=word.upper(), headers=headers)
            ready.post(f"/v1/predictions?operating_point={word}", data=encode_png(film), headers=headers)
            ready.post("/v1/predictions", data=word.encode(), headers=headers)
            ready.get("/metrics", headers=headers)

        ask("first")
        before = series()
        for number in range(20):
            ask(f"word{number}")
        assert series() == before

    def test_a_request_id_of_the_client_comes_back_and_is_logged(
        self, ready: FlaskClient, film: np.ndarray, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", "mammostack.inference"):
            answer = ready.post("/v1/predictions", data=encode_png(film), headers={"X-Request-Id": "pacs-17.a_B"})
        assert answer.headers["X-Request-Id"] == answer.json["request_id"] == "pacs-17.a_B"
        (line,) = [record for record in caplog.records if record.getMessage() == "request"]
        assert (line.request_id, line.route, line.status) == ("pacs-17.a_B", "/v1/predictions", 200)  # type: ignore[attr-defined]

    @pytest.mark.parametrize("word", ["", "a" * 65, "Doe^Jane", "two words", "x/y", "\u00e9"])
    def test_a_request_id_of_another_form_is_replaced(self, ready: FlaskClient, word: str) -> None:
        answer = ready.get("/v1/models", headers={"X-Request-Id": word.encode("utf-8").decode("latin-1")})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])

    def test_a_service_that_is_closed_looks_into_the_store_no_more(self, ready: FlaskClient) -> None:
        def watching() -> int:
            return sum(thread.name == "watch" for thread in threading.enumerate())

        assert watching() >= 1
        ready.application.extensions["inference"].close()
        wait_until(lambda: watching() == 0, 5)
