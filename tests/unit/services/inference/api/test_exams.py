"""Exams over HTTP: each film answered or refused by itself, then by breast and together."""

from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from urllib3 import encode_multipart_formdata

from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_png
from shared.modelling.applicability import TrainedOn
from shared.modelling.bilateral import compared
from shared.store import models
from shared.store.interface import ObjectStore
from tests.support.builders import comparison, model_card, preprocessing_card
from tests.support.versions import wait_for_version


@pytest.fixture(scope="module")
def sent() -> list[bytes]:
    """A film of the left breast and one of the right."""
    labels = (Label.NORMAL, Label.MALIGNANT)
    return [
        encode_png(render(np.random.default_rng(n), side, "G", label).pixels)
        for n, (side, label) in enumerate(zip(("left", "right"), labels, strict=True))
    ]


def exam(client: FlaskClient, films: dict[str, bytes], path: str = "/v1/exams", **texts: list[str]) -> Any:
    """Send a form as clients do: werkzeug's own test client leaves the blank line out of an empty field."""
    files = [("image", (name, data)) for name, data in films.items()]
    fields = [(field, text) for field, several in texts.items() for text in several]
    body, content_type = encode_multipart_formdata([*fields, *files])
    return client.post(path, data=body, content_type=content_type)


def serve_card(client: FlaskClient, store: ObjectStore, files: dict[str, dict[str, bytes]], **changes: Any) -> None:
    card = model_card("modified_cnn", "v3", preprocessing=preprocessing_card(64), **changes)
    models.publish(store, card, files["v1"])
    models.promote(store, "modified_cnn", "v3", models.MoveReason(by="test", why="test"))
    wait_for_version(client, "v3")


class TestExams:
    @pytest.mark.parametrize("path", ["/v1/exams", "/v1/predictions"])
    def test_each_film_is_answered_as_it_is_alone_and_refused_by_itself(
        self, ready: FlaskClient, sent: list[bytes], path: str
    ) -> None:
        films = {
            "left.png": sent[0],
            "report.pdf": b"%PDF",
            "dir/black.png": encode_png(np.zeros((1024, 1024), np.uint8)),
            "large.png": sent[0] + bytes(2 << 20),
            "right.png": sent[1],
            "none.png": b"",
        }
        answer = exam(ready, films, path)
        assert answer.status_code == 200, answer.text
        body = answer.json
        assert [film["position"] for film in body["films"]] == list(range(6))
        assert [film["name"] for film in body["films"]] == [
            "left.png", "report.pdf", "black.png", "large.png", "right.png", "none.png",
        ]  # fmt: skip
        for position, alone in ((0, sent[0]), (4, sent[1])):
            expected = ready.post("/v1/predictions", data=alone).json
            found = body["films"][position]["finding"]
            assert set(body["films"][position]) == {"position", "name", "finding"}
            assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)
            assert (found["about"], found["outline"]) == (expected["about"], expected["outline"])
        problems = {film["name"]: film["problem"] for film in body["films"] if "problem" in film}
        assert {name: (problem["code"], problem["status"]) for name, problem in problems.items()} == {
            "report.pdf": ("unsupported-image", 415),
            "black.png": ("not-a-mammogram", 422),
            "large.png": ("image-too-large", 413),
            "none.png": ("undecodable-image", 422),
        }
        assert problems["black.png"]["gate"]["passed"] is False
        assert "2 MB (MAMMO_MAX_IMAGE_MB)" in problems["large.png"]["detail"]

    def test_breasts_and_exam_are_judged_by_the_films_that_could_be(
        self, ready: FlaskClient, sent: list[bytes]
    ) -> None:
        body = exam(ready, {"a.png": sent[0], "b.pdf": b"%PDF", "c.png": sent[1]}).json
        by_side = {breast["laterality"]: breast for breast in body["breasts"]}
        assert {side: breast["films"] for side, breast in by_side.items()} == {"L": [0], "R": [2]}
        for side, position in (("L", 0), ("R", 2)):
            assert by_side[side]["probabilities"] == body["films"][position]["finding"]["probabilities"]
        worst = max(by_side.values(), key=lambda breast: breast["decision"]["score"])
        assert body["exam"]["laterality"] == worst["laterality"]
        assert body["exam"]["decision"] == worst["decision"]
        assert "most suspicious breast" in body["rule"]

    def test_an_exam_of_which_every_film_is_refused_says_so_film_by_film(self, ready: FlaskClient) -> None:
        answer = exam(ready, {"a.pdf": b"%PDF", "b.pdf": b"%PDF"})
        assert answer.status_code == 200
        assert (answer.json["breasts"], answer.json["exam"]) == ([], None)
        assert [film["problem"]["code"] for film in answer.json["films"]] == ["unsupported-image"] * 2

    def test_one_film_is_an_exam_too_and_thirteen_are_too_many(self, ready: FlaskClient, sent: list[bytes]) -> None:
        raw = ready.post("/v1/exams", data=sent[0]).json
        assert [film["name"] for film in raw["films"]] == [None]
        assert len(exam(ready, {f"{number}": b"no film" for number in range(12)}).json["films"]) == 12
        refused = exam(ready, {f"{number}": b"no film" for number in range(13)})
        assert (refused.status_code, "at most 12" in refused.json["detail"]) == (400, True)

    def test_views_and_sides_that_are_stated_let_plain_images_be_compared(
        self, ready: FlaskClient, store: ObjectStore, files: dict[str, dict[str, bytes]], sent: list[bytes]
    ) -> None:
        serve_card(ready, store, files, comparison=comparison())
        films = {"a.png": sent[0], "b.png": sent[1]}
        path = "/v1/exams?operating_point=balanced"
        stated = exam(ready, films, path, view=["mlo", "MLO"], side=["L", ""]).json
        abouts = [film["finding"]["about"] for film in stated["films"]]
        assert [about["view"] for about in abouts] == [{"name": "MLO", "source": "stated", "modifiers": []}] * 2
        assert [about["laterality"]["source"] for about in abouts] == ["stated", "shape"]
        rows = np.array([list(film["finding"]["probabilities"].values()) for film in stated["films"]])
        expected = compared(rows, rows[::-1], comparison().centre, comparison().temperature)
        for film, row, other in zip(stated["films"], expected, (1, 0), strict=True):
            assert list(film["side_by_side"]["probabilities"].values()) == pytest.approx(row, abs=1e-5)
            assert film["side_by_side"]["beside"] == [other]
            assert film["side_by_side"]["decision"]["operating_point"]["threshold"] == 0.55
        apart = exam(ready, films, path, view=["CC", "MLO"]).json
        assert not any("side_by_side" in film for film in apart["films"])

    @pytest.mark.parametrize(
        ("texts", "told"),
        [
            ({"view": ["MLO"]}, "2 films but 1 fields 'view'"),
            ({"side": ["L", "left"]}, "'side' is not one of L, R"),
            ({"view": ["MLO", "XYZ"]}, "'view' is not one of CC, MLO"),
        ],
    )
    def test_views_and_sides_that_can_not_be_are_told(
        self, ready: FlaskClient, sent: list[bytes], texts: dict[str, list[str]], told: str
    ) -> None:
        refused = exam(ready, {"a.png": sent[0], "b.png": sent[1]}, **texts)
        assert (refused.status_code, told in refused.json["detail"]) == (400, True)

    def test_a_side_that_is_not_where_the_chest_wall_is_counts_and_is_told(
        self, ready: FlaskClient, sent: list[bytes]
    ) -> None:
        body = exam(ready, {"a.png": sent[0]}, side=["R"]).json
        (film,) = body["films"]
        assert film["finding"]["about"]["laterality"] == {"name": "R", "source": "stated"}
        assert "the chest wall on the left indicates" in film["finding"]["about"]["disagreements"][0]
        assert film["finding"]["about"]["chest_wall"] == "left"
        assert [breast["laterality"] for breast in body["breasts"]] == ["R"]

    def test_heat_maps_of_an_exam_name_the_class_that_they_explain(self, ready: FlaskClient, sent: list[bytes]) -> None:
        body = exam(ready, {"a.png": sent[0], "b.png": sent[1]}, "/v1/exams?explain=heatmap&class=benign").json
        assert [film["finding"]["heatmap"]["class"] for film in body["films"]] == ["benign"] * 2


EIGHT_BITS = {"films": 10, "views": {"MLO": 10}, "acquisitions": {"film scan": 10}, "vendors": {}, "bits": {8: 10}}


class TestApplicability:
    @pytest.mark.parametrize(
        ("trained_on", "view", "applies", "misfits", "reason"),
        [
            (None, "CC", None, [], "unknown"),
            (EIGHT_BITS, "MLO", True, [], "applies"),
            (EIGHT_BITS, "CC", False, ["view"], "view"),
            ({**EIGHT_BITS, "bits": {12: 10}}, "MLO", False, ["bits"], "bits"),
        ],
        ids=["an old card", "such films", "another view", "another depth"],
    )
    def test_a_film_of_a_kind_that_the_model_was_not_trained_on_is_told_and_counted(
        self,
        ready: FlaskClient,
        store: ObjectStore,
        files: dict[str, dict[str, bytes]],
        sent: list[bytes],
        trained_on: dict[str, Any] | None,
        view: str,
        applies: bool | None,
        misfits: list[str],
        reason: str,
    ) -> None:
        serve_card(ready, store, files, trained_on=trained_on and TrainedOn.model_validate(trained_on))

        def counted() -> float:
            rows = ready.get("/metrics").text.splitlines()
            found = [row for row in rows if row.startswith("mammo_applicability_total") and f'reason="{reason}"' in row]
            return sum(float(row.rpartition(" ")[2]) for row in found if 'model_version="v3"' in row)

        before = counted()
        (film,) = exam(ready, {"a.png": sent[0]}, view=[view]).json["films"]
        told = film["finding"]["applicability"]
        assert (told["applies"], told["misfits"]) == (applies, misfits)
        assert told["reasons"]
        assert counted() == before + 1
