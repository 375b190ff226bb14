"""The report on another data set: it says what was judged, what was left out, and why."""

import re

import pytest

from services.train.evaluation.external_report import reasons, render_external
from shared.domain.overlap import LeftOut
from shared.domain.terms import Terms
from shared.modelling.external import ExternalEvaluation, RefusedFilm
from tests.support.evaluations import OPERATING_POINTS, example_metrics

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def evaluation() -> ExternalEvaluation:
    return ExternalEvaluation(
        evaluation="resnet50-v1-0",
        created="2026-01-02T03:04:05+00:00",
        code_version="0.1.0",
        network="resnet50",
        version="v1",
        run="run-7",
        trained_on="mias",
        dataset="clinic",
        dataset_version=2,
        films_sha256="f" * 64,
        synthetic=False,
        terms=Terms(text="For research with consent.", redistribute=False, release_models=True),
        labelling="malignant: BI-RADS 5.",
        training_terms="mini-MIAS: research only.",
        films=330,
        patients=166,
        left_out=LeftOut(patients_by_id=("p1", "p2"), repeated_films=("f9",), films=("f1", "f2", "f3", "f4", "f9")),
        refused=(RefusedFilm(film="f7", code="not-a-mammogram", message="no breast is found"),),
        class_counts={"normal": 207, "benign": 0, "malignant": 117},
        metrics=example_metrics(0.3, 322, 20, 1),
        operating_points=OPERATING_POINTS,
        bins=((0.45, 0.4, 100), (0.7, 0.66, 222)),
        side_by_side=None,
        levels=(),
        groups=(),
        cross_validated=example_metrics(0.6, 322, 20, 2),
    )


@pytest.fixture(scope="module")
def files(evaluation: ExternalEvaluation) -> dict[str, bytes]:
    return render_external(evaluation)


@pytest.fixture(scope="module")
def page(files: dict[str, bytes]) -> str:
    return files["index.html"].decode()


class TestRenderExternal:
    def test_metrics_json_is_the_evaluation_and_the_same_one_gives_the_same_bytes(
        self, evaluation: ExternalEvaluation, files: dict[str, bytes]
    ) -> None:
        assert ExternalEvaluation.model_validate_json(files["metrics.json"]) == evaluation
        assert render_external(evaluation) == files

    def test_the_table_has_the_figures_of_both_data_sets(self, evaluation: ExternalEvaluation, page: str) -> None:
        rows = dict(re.findall(r'<tr (?:class="baseline" )?data-row="([^"]+)">(.*?)</tr>', page, re.DOTALL))
        assert set(rows) == {"film", "card"}
        for row, metrics in (("film", evaluation.metrics), ("card", evaluation.cross_validated)):
            told = [float(value) for value in re.findall(r'<data value="([^"]+)">', rows[row])]
            assert told[0] == metrics.accuracy.value
            assert told[-1] == metrics.abnormal_auc.value

    def test_what_was_left_out_or_refused_is_told_with_the_reason(self, page: str) -> None:
        (facts,) = re.findall(r'<dl class="facts" id="films">(.*?)</dl>', page, re.DOTALL)
        assert "330 films of 166 patients" in facts
        assert (
            "5: 2 patients with the id of one that the version has seen; 1 film with the same image file as another"
            in facts
        )
        assert "1, which inference would refuse too: not-a-mammogram 1" in facts
        assert "p1, p2" in page
        assert "f7: no breast is found" in page

    def test_classes_that_are_missing_are_told(self, evaluation: ExternalEvaluation, page: str) -> None:
        assert "no film that is benign" in page
        counts = {"normal": 100, "benign": 100, "malignant": 122}
        whole = render_external(evaluation.model_copy(update={"class_counts": counts}))["index.html"].decode()
        assert "no film that is" not in whole

    def test_terms_of_both_data_sets_and_the_labels_are_told(self, page: str) -> None:
        for told in ("For research with consent.", "mini-MIAS: research only.", "malignant: BI-RADS 5."):
            assert told in page

    def test_synthetic_films_are_announced(self, evaluation: ExternalEvaluation, page: str) -> None:
        assert "SYNTHETIC films" not in page
        synthetic = render_external(evaluation.model_copy(update={"synthetic": True}))
        assert "SYNTHETIC films: numbers say nothing about mammography" in synthetic["index.html"].decode()

    def test_names_are_escaped_and_nothing_is_loaded(self, evaluation: ExternalEvaluation) -> None:
        page = render_external(evaluation.model_copy(update={"dataset": HOSTILE, "trained_on": HOSTILE}))
        text = page["index.html"].decode()
        assert "<script" not in text
        assert "https://" not in text


class TestReasons:
    def test_only_those_that_there_are(self) -> None:
        assert reasons(LeftOut()) == []
        assert reasons(LeftOut(patients_by_film=("p1",), contradictory_films=("f1", "f2"))) == [
            "1 patient with an image file of one that it has seen",
            "2 films with the same image file as another and another label",
        ]
