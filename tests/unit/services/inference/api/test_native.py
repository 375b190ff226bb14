"""Our own API beyond a single prediction: decisions, explanations, several films of a patient, models, limits."""

from base64 import b64decode
from io import BytesIO

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient

from shared.datasets.manifest import CLASSES, Label
from shared.datasets.phantom import render
from shared.imaging.decode import encode_png
from shared.modelling.comparison import compared
from shared.store import registry
from shared.store.objects import ObjectStore
from tests.builders import comparison, model_card, preprocessing_card
from tests.unit.services.inference.serving import wait_for_version


def picture(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


@pytest.fixture(scope="module")
def films() -> list[bytes]:
    labels = (Label.NORMAL, Label.MALIGNANT)
    return [
        encode_png(render(np.random.default_rng(n), side, "G", label).pixels)
        for n, (side, label) in enumerate(zip(("left", "right"), labels, strict=True))
    ]


def test_the_decision_follows_from_score_threshold_and_band(ready: FlaskClient, films: list[bytes]) -> None:
    body = ready.post("/v1/predictions", data=films[0]).json
    decision, point = body["decision"], body["decision"]["operating_point"]
    assert decision["score"] == pytest.approx(1 - body["probabilities"]["normal"], abs=1e-5)
    low, high = decision["uncertain_between"]
    called = "abnormal" if decision["score"] >= point["threshold"] else "normal"
    assert decision["answer"] == ("uncertain" if low <= decision["score"] <= high else called)
    assert point["name"] == "screening"
    assert set(point["sensitivity"]) == {"value", "low", "high"}


def test_another_operating_point_can_be_asked_for_and_an_unknown_one_is_told(
    ready: FlaskClient, films: list[bytes]
) -> None:
    body = ready.post("/v1/predictions?operating_point=balanced", data=films[0]).json
    assert body["decision"]["operating_point"]["name"] == "balanced"
    refused = ready.post("/v1/predictions?operating_point=best", data=films[0])
    assert refused.status_code == 400
    assert "'screening' or 'balanced'" in refused.json["detail"]


def test_a_heat_map_and_a_view_of_the_film_come_when_they_are_asked_for(ready: FlaskClient, films: list[bytes]) -> None:
    plain = ready.post("/v1/predictions", data=films[0]).json
    assert not {"heatmap", "view"} & set(plain)
    body = ready.post("/v1/predictions?explain=heatmap&view=1", data=films[0]).json
    assert body["heatmap"]["class"] == body["class"]
    assert picture(b64decode(body["heatmap"]["png"])).shape == (512, 512, 4)
    grey = ready.post("/v1/predictions?explain=heatmap&form=grey", data=films[0]).json["heatmap"]
    assert (grey["form"], picture(b64decode(grey["png"])).shape) == ("grey", (512, 512))
    assert np.array_equal(picture(b64decode(body["view"]["png"])), picture(films[0]))
    assert body["seconds"]["explain"] > 0


def test_an_explanation_alone_is_a_picture(ready: FlaskClient, films: list[bytes]) -> None:
    overlay = ready.post("/v1/explanations", data=films[0])
    assert (overlay.mimetype, picture(overlay.data).shape) == ("image/png", (512, 512, 4))
    assert picture(ready.post("/v1/explanations?form=grey", data=films[0]).data).shape == (512, 512)
    assert ready.post("/v1/explanations?form=3d", data=films[0]).status_code == 400


def test_the_outline_lies_around_the_breast_box(ready: FlaskClient, films: list[bytes]) -> None:
    for film in films:
        body = ready.post("/v1/predictions", data=film).json
        outline, box = np.array(body["outline"]), body["breast_box"]
        assert outline.min(axis=0) == pytest.approx([box["x"], box["y"]], abs=3)
        assert outline.max(axis=0) == pytest.approx([box["x"] + box["width"], box["y"] + box["height"]], abs=3)


def test_several_films_of_a_patient_are_answered_one_by_one_and_together(
    ready: FlaskClient, films: list[bytes]
) -> None:
    alone = [ready.post("/v1/predictions", data=film).json for film in films]
    form = {f"film{number}": (BytesIO(film), f"{number}.png") for number, film in enumerate(films)}
    body = ready.post("/v1/predictions", data=form, content_type="multipart/form-data").json
    for film, each in zip(body["films"], alone, strict=True):
        assert film["probabilities"] == pytest.approx(each["probabilities"], abs=1e-5)
    scores = [each["decision"]["score"] for each in alone]
    assert body["patient"]["film"] == scores.index(max(scores))
    assert body["patient"]["decision"]["score"] == pytest.approx(max(scores), abs=1e-5)


def as_form(files: list[bytes]) -> dict[str, object]:
    return {f"film{number}": (BytesIO(film), f"{number}.png") for number, film in enumerate(files)}


def test_films_of_both_breasts_are_answered_side_by_side(
    ready: FlaskClient, store: ObjectStore, files: dict[str, dict[str, bytes]], films: list[bytes]
) -> None:
    card = model_card("modified_cnn", "v3", preprocessing=preprocessing_card(64), comparison=comparison())
    registry.publish(store, card, files["v1"])
    registry.promote(store, "modified_cnn", "v3", by="test", why="test")
    wait_for_version(ready, "v3")
    multipart = {"content_type": "multipart/form-data"}
    body = ready.post("/v1/predictions?operating_point=balanced", data=as_form(films), **multipart).json
    rows = np.array([list(film["probabilities"].values()) for film in body["films"]])
    expected = compared(rows, rows[::-1], comparison().centre, comparison().temperature)
    for row, film in zip(expected, body["side_by_side"], strict=True):
        assert list(film["probabilities"].values()) == pytest.approx(row, abs=1e-5)
        assert film["decision"]["score"] == pytest.approx(1 - row[0], abs=1e-5)
        assert film["decision"]["operating_point"]["threshold"] == 0.55
        assert film["class"] == CLASSES[int(row.argmax())]
    same_side, three = (
        ready.post("/v1/predictions", data=as_form([films[0]] * 2), **multipart),
        as_form([*films, films[0]]),
    )
    assert "side_by_side" not in set(same_side.json)
    assert "side_by_side" not in set(ready.post("/v1/predictions", data=three, **multipart).json)


def test_a_version_without_figures_for_it_does_not_compare(ready: FlaskClient, films: list[bytes]) -> None:
    body = ready.post("/v1/predictions", data=as_form(films), content_type="multipart/form-data").json
    assert len(body["films"]) == 2
    assert "side_by_side" not in set(body)


def test_too_many_films_in_a_request_are_refused(ready: FlaskClient, films: list[bytes]) -> None:
    form = {f"film{number}": (BytesIO(films[0]), "film.png") for number in range(9)}
    refused = ready.post("/v1/predictions", data=form, content_type="multipart/form-data")
    assert refused.status_code in (400, 413)


@pytest.mark.parametrize("query", ["explain=yes", "view=2", "timeout_ms=0", "timeout_ms=-1", "timeout_ms=soon"])
def test_a_parameter_that_can_not_be_is_told(ready: FlaskClient, films: list[bytes], query: str) -> None:
    refused = ready.post(f"/v1/predictions?{query}", data=films[0])
    assert refused.status_code == 400
    assert query.partition("=")[0] in refused.json["detail"]


def test_models_cards_and_limits_can_be_read(ready: FlaskClient) -> None:
    assert ready.get("/v1/models").json["models"] == ["modified_cnn"]
    card = ready.get("/v1/models/modified_cnn/card").json
    assert card["version"] == "v1"
    assert "Not a medical device" in card["intended_use"]
    assert ready.get("/v1/models/resnet50/card").status_code == 404
    limits = ready.get("/v1/usage-limits").json
    assert limits["requests_waiting"] == 16
    assert "PGM" in limits["formats"]


def test_every_answer_has_the_headers_that_keep_a_browser_safe(client: FlaskClient) -> None:
    for path in ("/healthz", "/nowhere", "/"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "."])
def test_no_file_beside_the_page_can_be_read(client: FlaskClient, name: str) -> None:
    assert client.get(f"/page/{name}", follow_redirects=True).status_code == 404
