"""The figures of a version on another data set: by its own thresholds and comparison, with nothing fitted anew."""

from collections.abc import Sequence

import pytest

from services.train.evaluation.external import evaluate_external, external_predictions
from shared.domain.films import Film, Manifest, describe
from shared.domain.overlap import LeftOut
from shared.domain.records import CLASSES, Label
from shared.errors import DatasetError
from shared.evaluations.plan import EvaluationPlan, FilmProbabilities
from shared.modelling.bilateral import both_sides, compared
from shared.modelling.calibration import abnormal_score
from shared.modelling.card import ModelCard
from shared.modelling.exams import ExamRule, LevelFigures, by_breast_and_exam
from shared.modelling.external import ExternalEvaluation, RefusedFilm
from shared.modelling.metrics import evaluate
from tests.support.builders import comparison, exam_manifest, model_card, small_manifest


def answers(films: Sequence[Film]) -> list[FilmProbabilities]:
    """Answers of which most are right, and no two are equal."""
    found = []
    for number, film in enumerate(films):
        right = CLASSES.index(film.label) if number % 4 else (number // 4) % 3
        row = [0.2 + 0.001 * (number % 7)] * 3
        row[right] = 1 - 2 * row[0]
        found.append(FilmProbabilities(film=film.id, probabilities=(row[0], row[1], row[2])))
    return found


def exam_rule() -> ExamRule:
    points = comparison().operating_points
    figures = LevelFigures(metrics=comparison().metrics, operating_points=points)
    return ExamRule(breast=figures, exam=figures)


def evaluated(
    manifest: Manifest, card: ModelCard, judged: list[FilmProbabilities], refused: tuple[RefusedFilm, ...] = ()
) -> ExternalEvaluation:
    dataset = describe(manifest)
    plan = EvaluationPlan(
        evaluation="resnet50-v1-0",
        created="2026-01-02T03:04:05+00:00",
        code_version="0.1.0",
        network=card.network,
        version=card.version,
        dataset=manifest.dataset,
        dataset_version=1,
        films_sha256=dataset.sha256,
        films=dataset.films,
        shard_films=dataset.shard_films,
        parts=(),
        left_out=LeftOut(),
    )
    predictions = external_predictions(judged, manifest.films)
    return evaluate_external(plan, card, dataset, manifest.films, predictions, refused)


class TestEvaluateExternal:
    def test_thresholds_are_those_of_the_card(self) -> None:
        manifest, card = small_manifest(), model_card()
        found = evaluated(manifest, card, answers(manifest.films))
        predictions = external_predictions(answers(manifest.films), manifest.films)
        assert found.metrics == evaluate(predictions)
        for point, known in zip(found.operating_points, card.operating_points, strict=True):
            called = abnormal_score(predictions.rows) >= known.threshold
            assert point.name == known.name
            assert point.true_positives == (called & predictions.abnormal).sum()
            assert point.false_positives == (called & ~predictions.abnormal).sum()
            assert point.sensitivity.value == pytest.approx(called[predictions.abnormal].mean())

    def test_both_breasts_are_compared_by_the_centre_and_temperature_of_the_card(self) -> None:
        manifest, card = small_manifest(), model_card(comparison=comparison())
        found = evaluated(manifest, card, answers(manifest.films)).side_by_side
        pairs = both_sides(
            external_predictions(answers(manifest.films), manifest.films), {f.id: f for f in manifest.films}
        )
        assert pairs
        assert found
        own, others = pairs
        rows = compared(own.rows, others, comparison().centre, comparison().temperature)
        assert found.metrics == evaluate(own.with_rows(rows))
        assert evaluated(manifest, model_card(), answers(manifest.films)).side_by_side is None

    def test_a_comparison_of_films_of_one_breast_each_is_none(self) -> None:
        manifest = small_manifest()
        right = manifest.model_copy(update={"films": tuple(film for film in manifest.films if film.side == "right")})
        assert evaluated(right, model_card(comparison=comparison()), answers(right.films)).side_by_side is None

    def test_breasts_and_exams_are_judged_by_the_rule_of_the_card(self) -> None:
        manifest = exam_manifest()
        found = evaluated(manifest, model_card(exam_rule=exam_rule()), answers(manifest.films))
        units = by_breast_and_exam(
            external_predictions(answers(manifest.films), manifest.films), {film.id: film for film in manifest.films}
        )
        assert units
        assert [level.level for level in found.levels] == ["breast", "exam"]
        for level in found.levels:
            assert level.metrics == evaluate(units[level.level])
        assert found.levels[0].metrics.n_films < found.metrics.n_films
        assert found.levels[1].metrics.n_films == 16
        assert evaluated(manifest, model_card(), answers(manifest.films)).levels == ()

    def test_intervals_are_by_patient(self) -> None:
        """The same film many times of one patient makes no figure surer."""
        manifest = small_manifest()
        one = manifest.model_copy(
            update={"films": tuple(film.model_copy(update={"patient": "p"}) for film in manifest.films)}
        )
        assert evaluated(one, model_card(), answers(one.films)).metrics.accuracy.low is None
        assert evaluated(manifest, model_card(), answers(manifest.films)).metrics.accuracy.low is not None

    @pytest.mark.parametrize("missing", [Label.NORMAL, Label.BENIGN])
    def test_a_set_with_two_classes_has_figures_of_those(self, missing: Label) -> None:
        manifest = small_manifest(64)
        two = manifest.model_copy(update={"films": tuple(f for f in manifest.films if f.label is not missing)})
        found = evaluated(two, model_card(), answers(two.films))
        assert found.class_counts[missing] == 0
        assert found.metrics.per_class[missing].auc.value is None
        assert found.metrics.macro_auc.value is not None
        assert found.metrics.per_class["malignant"].auc.value is not None
        specificity = found.operating_points[0].specificity.value
        assert (specificity is None) == (missing is Label.NORMAL)

    def test_films_that_were_refused_are_named_and_counted(self) -> None:
        manifest = small_manifest()
        refused = (RefusedFilm(film="mdb016", code="not-a-mammogram", message="no breast"),)
        found = evaluated(manifest, model_card(), answers(manifest.films[:-1]), refused)
        assert (found.films, found.metrics.n_films, found.refused) == (16, 15, refused)

    def test_terms_and_labels_are_those_of_the_data_set(self) -> None:
        manifest = small_manifest().model_copy(update={"labelling": "malignant: BI-RADS 5."})
        found = evaluated(manifest, model_card(), answers(manifest.films))
        assert found.terms == manifest.known_terms
        assert found.labelling == "malignant: BI-RADS 5."
        assert found.training_terms == model_card().data_terms
        assert found.cross_validated == model_card().metrics


class TestExternalPredictions:
    def test_without_an_answer_there_are_none(self) -> None:
        with pytest.raises(DatasetError, match="no film that the version can judge"):
            external_predictions([], small_manifest().films)
