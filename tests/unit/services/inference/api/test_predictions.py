"""Our own API beyond a single prediction: decisions, explanations, models, limits."""

from base64 import b64decode

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient

from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_png


def picture(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


def pgm_of_12_bits(pixels: np.ndarray) -> bytes:
    return b"P5 %d %d 4095\n" % pixels.shape[::-1] + pixels.astype(">u2").tobytes()


@pytest.fixture(scope="module")
def films() -> list[bytes]:
    labels = (Label.NORMAL, Label.MALIGNANT)
    return [
        encode_png(render(np.random.default_rng(n), side, "G", label).pixels)
        for n, (side, label) in enumerate(zip(("left", "right"), labels, strict=True))
    ]


class TestPredictions:
    def test_the_decision_follows_from_score_threshold_and_band(self, ready: FlaskClient, films: list[bytes]) -> None:
        body = ready.post("/v1/predictions", data=films[0]).json
        decision, point = body["decision"], body["decision"]["operating_point"]
        assert decision["score"] == pytest.approx(1 - body["probabilities"]["normal"], abs=1e-5)
        low, high = decision["uncertain_between"]
        called = "abnormal" if decision["score"] >= point["threshold"] else "normal"
        assert decision["answer"] == ("uncertain" if low <= decision["score"] <= high else called)
        assert point["name"] == "screening"
        assert set(point["sensitivity"]) == {"value", "low", "high"}

    def test_another_operating_point_can_be_asked_for_and_an_unknown_one_is_told(
        self, ready: FlaskClient, films: list[bytes]
    ) -> None:
        body = ready.post("/v1/predictions?operating_point=balanced", data=films[0]).json
        assert body["decision"]["operating_point"]["name"] == "balanced"
        refused = ready.post("/v1/predictions?operating_point=best", data=films[0])
        assert refused.status_code == 400
        assert "'screening' or 'balanced'" in refused.json["detail"]

    def test_a_heat_map_and_a_view_of_the_film_come_when_they_are_asked_for(
        self, ready: FlaskClient, films: list[bytes]
    ) -> None:
        plain = ready.post("/v1/predictions", data=films[0]).json
        assert not {"heatmap", "view"} & set(plain)
        body = ready.post("/v1/predictions?explain=heatmap&view=1", data=films[0]).json
        assert picture(b64decode(body["heatmap"]["png"])).shape == (512, 512, 4)
        grey = ready.post("/v1/predictions?explain=heatmap&form=grey", data=films[0]).json["heatmap"]
        assert (grey["form"], picture(b64decode(grey["png"])).shape) == ("grey", (512, 512))
        assert np.array_equal(picture(b64decode(body["view"]["png"])), picture(films[0]))
        assert body["seconds"]["explain"] > 0

    def test_a_deep_view_holds_every_grey_level_of_a_film_of_more_than_8_bits(
        self, ready: FlaskClient, film: np.ndarray
    ) -> None:
        film = film[:1000]
        deep = (film.astype(np.uint16) << 4) + (np.arange(film.shape[1], dtype=np.uint16) & 15) * (film > 0)
        view = ready.post("/v1/predictions?view=deep", data=pgm_of_12_bits(deep)).json["view"]
        blue, green, red = (channel.astype(np.uint16) for channel in np.moveaxis(picture(b64decode(view["png"])), 2, 0))
        assert (view["bits"], view["packing"], blue.any()) == (12, "red-green", False)
        assert np.array_equal(256 * red + green, deep)
        plain = ready.post("/v1/predictions?view=deep", data=encode_png(film)).json["view"]
        assert (plain["bits"], plain["packing"]) == (8, "grey")
        assert np.array_equal(picture(b64decode(plain["png"])), film)

    def test_a_heat_map_shows_the_evidence_for_the_decision_or_for_the_class_that_is_asked_for(
        self, ready: FlaskClient, films: list[bytes]
    ) -> None:
        plain = ready.post("/v1/predictions?explain=heatmap", data=films[0]).json
        chances = plain["probabilities"]
        likelier = max(("benign", "malignant"), key=chances.__getitem__)
        assert plain["decision"]["answer"] == "abnormal"
        assert plain["heatmap"]["class"] == likelier
        maps = {}
        for asked in ("normal", "benign", "malignant"):
            heatmap = ready.post(f"/v1/predictions?explain=heatmap&class={asked}", data=films[0]).json["heatmap"]
            assert heatmap["class"] == asked
            alone = ready.post(f"/v1/explanations?class={asked}", data=films[0])
            assert alone.headers["X-Explained-Class"] == asked
            assert alone.data == b64decode(heatmap["png"])
            maps[asked] = alone.data
        assert len(set(maps.values())) == 3
        assert ready.post("/v1/explanations", data=films[0]).data == maps[likelier]
        assert ready.post("/v1/predictions?explain=heatmap&class=dense", data=films[0]).status_code == 400

    def test_an_explanation_alone_is_a_picture(self, ready: FlaskClient, films: list[bytes]) -> None:
        overlay = ready.post("/v1/explanations", data=films[0])
        assert (overlay.mimetype, picture(overlay.data).shape) == ("image/png", (512, 512, 4))
        assert picture(ready.post("/v1/explanations?form=grey", data=films[0]).data).shape == (512, 512)
        assert ready.post("/v1/explanations?form=3d", data=films[0]).status_code == 400

    def test_the_outline_lies_around_the_breast_box(self, ready: FlaskClient, films: list[bytes]) -> None:
        for film in films:
            body = ready.post("/v1/predictions", data=film).json
            outline, box = np.array(body["outline"]), body["breast_box"]
            assert outline.min(axis=0) == pytest.approx([box["x"], box["y"]], abs=3)
            assert outline.max(axis=0) == pytest.approx([box["x"] + box["width"], box["y"] + box["height"]], abs=3)

    @pytest.mark.parametrize("query", ["explain=yes", "view=2", "timeout_ms=0", "timeout_ms=-1", "timeout_ms=soon"])
    def test_a_parameter_that_can_not_be_is_told(self, ready: FlaskClient, films: list[bytes], query: str) -> None:
        refused = ready.post(f"/v1/predictions?{query}", data=films[0])
        assert refused.status_code == 400
        assert query.partition("=")[0] in refused.json["detail"]

    def test_models_cards_and_limits_can_be_read(self, ready: FlaskClient) -> None:
        assert ready.get("/v1/models").json["models"] == ["modified_cnn"]
        card = ready.get("/v1/models/modified_cnn/card").json
        assert card["version"] == "v1"
        assert "Not a medical device" in card["intended_use"]
        assert ready.get("/v1/models/resnet50/card").status_code == 404
        limits = ready.get("/v1/usage-limits").json
        assert limits["requests_waiting"] == 16
        assert "PGM" in limits["formats"]

    def test_every_answer_has_the_headers_that_keep_a_browser_safe(self, client: FlaskClient) -> None:
        for path in ("/healthz", "/nowhere", "/"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "."])
    def test_no_file_beside_the_page_can_be_read(self, client: FlaskClient, name: str) -> None:
        assert client.get(f"/page/{name}", follow_redirects=True).status_code == 404
