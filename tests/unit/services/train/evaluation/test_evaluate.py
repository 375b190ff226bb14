"""The folds of a network put together: each calibrated and cut by its own validation films, judged on held-out ones."""

from typing import Any

import numpy as np
import pytest

from services.train.evaluation.evaluate import evaluate_run
from services.train.evaluation.exams import films_by_id, published_comparison, published_exam_rule
from services.train.evaluation.operating_points import best_fold, published_points
from services.train.jobs import JobResult
from shared.domain.records import CLASSES, Label
from shared.modelling.bilateral import both_sides, compared, log_odds
from shared.modelling.calibration import (
    OPERATING_POINTS,
    abnormal_score,
    calibrate,
    choose_threshold,
    fit_temperature,
)
from shared.modelling.evaluation import NetworkResult
from shared.modelling.exams import ExamRule, by_breast_and_exam
from shared.modelling.metrics import evaluate
from shared.modelling.predictions import FoldPredictions, merge
from tests.support.builders import exam_manifest, job_result, small_manifest, small_plan

NORMAL, BENIGN, MALIGNANT = CLASSES


def scored(*films: tuple[float, Label], fold: int = 0) -> FoldPredictions:
    """Films, each of a patient of its own, from their abnormal scores and labels."""
    return FoldPredictions(
        films=tuple(f"fold{fold}film{number}" for number in range(len(films))),
        patients=tuple(f"fold{fold}patient{number}" for number in range(len(films))),
        labels=tuple(label for _, label in films),
        probabilities=tuple((1 - score, 0.75 * score, 0.25 * score) for score, _ in films),
        folds=(fold,) * len(films),
    )


VALIDATION = scored((0.1, NORMAL), (0.3, BENIGN), (0.4, NORMAL), (0.5, NORMAL), (0.6, BENIGN), (0.7, MALIGNANT))
HIGHER = scored((0.5, NORMAL), (0.7, BENIGN), (0.72, NORMAL), (0.75, NORMAL), (0.8, BENIGN), (0.9, MALIGNANT))
HELD_OUT = scored((0.2, NORMAL), (0.3, MALIGNANT), (0.5, NORMAL), (0.65, BENIGN), (0.65, NORMAL), (0.75, BENIGN))


def folds(**changes: Any) -> tuple[JobResult, JobResult]:
    """Two folds with the same held-out scores, the second of which gives higher scores to its validation films."""
    held_out = HELD_OUT.model_copy(update={"patients": tuple(f"second{p}" for p in HELD_OUT.patients)})
    return (
        job_result("resnet50/patient/fold-0", **{"predictions": HELD_OUT, "validation": VALIDATION} | changes),
        job_result("resnet50/patient/fold-1", **{"predictions": held_out, "validation": HIGHER} | changes),
    )


def judged(*results: JobResult) -> NetworkResult:
    plan = small_plan(protocols=("patient",))
    (result,) = evaluate_run(plan, small_manifest(), results).results
    return result


def test_each_fold_is_cut_at_the_threshold_of_its_own_validation_films() -> None:
    screening, balanced = judged(*folds()).operating_points
    assert (screening.name, balanced.name) == OPERATING_POINTS
    # the thresholds of screening are 0.3 in the first fold and 0.7 in the second, those of balanced 0.6 and 0.8
    assert (screening.true_positives, screening.false_negatives) == (3 + 1, 0 + 2)
    assert (screening.true_negatives, screening.false_positives) == (1 + 3, 2 + 0)
    assert (balanced.true_positives, balanced.false_negatives) == (2 + 0, 1 + 3)
    assert (balanced.true_negatives, balanced.false_positives) == (2 + 3, 1 + 0)


def test_sensitivity_and_specificity_are_those_of_the_counts_with_intervals_by_patient() -> None:
    for point in judged(*folds()).operating_points:
        found = point.sensitivity.value, point.specificity.value
        assert found == pytest.approx((point.true_positives / 6, point.true_negatives / 6))
        for interval in (point.sensitivity, point.specificity):
            assert interval.low is not None
            assert interval.high is not None
            assert interval.value is not None
            assert interval.low < interval.value < interval.high


def test_thresholds_never_look_at_held_out_films() -> None:
    turned = HELD_OUT.model_copy(update={"labels": tuple(reversed(HELD_OUT.labels))})
    for before, after in zip(folds(), folds(predictions=turned), strict=True):
        points, again = judged(before).operating_points, judged(after).operating_points
        assert points != again
        for point, other in zip(points, again, strict=True):
            called = point.true_positives + point.false_positives
            assert called == other.true_positives + other.false_positives
        published, republished = published_points(before, points), published_points(after, again)
        for first, second in zip(published, republished, strict=True):
            assert (first.threshold, first.uncertain) == (second.threshold, second.uncertain)


def test_what_is_judged_is_what_would_be_served() -> None:
    cold, warm = (result.model_copy(update={"temperature": t}) for result, t in zip(folds(), (0.5, 2.0), strict=True))
    rows = [calibrate(result.predictions.rows, result.temperature) for result in (cold, warm)]
    served = merge([cold.predictions.with_rows(rows[0]), warm.predictions.with_rows(rows[1])])
    found = judged(cold, warm)
    assert found.metrics == evaluate(served)
    assert found.metrics != judged(*folds()).metrics
    assert found.calibration
    assert found.calibration.temperatures == (0.5, 2.0)
    onehot = np.eye(3)[served.truth]
    assert found.calibration.brier_after == pytest.approx(((served.rows - onehot) ** 2).sum(axis=1).mean())
    plain = merge([cold.predictions, warm.predictions]).rows
    assert found.calibration.brier_before == pytest.approx(((plain - onehot) ** 2).sum(axis=1).mean())


def test_the_temperature_is_applied_before_a_threshold_is_chosen() -> None:
    (first, _), (hot, _) = folds(), folds(temperature=3.0)
    for plain, calibrated in zip(
        published_points(first, judged(first).operating_points),
        published_points(hot, judged(hot).operating_points),
        strict=True,
    ):
        row = np.array([[1 - plain.threshold, 0.75 * plain.threshold, 0.25 * plain.threshold]])
        assert calibrated.threshold == pytest.approx(1 - calibrate(row, 3.0)[0, 0])


def test_a_card_gets_the_thresholds_of_its_fold_and_the_figures_of_all() -> None:
    published, other = folds()
    pooled = judged(published, other).operating_points
    screening, balanced = published_points(published, pooled)
    assert (screening.threshold, balanced.threshold) == pytest.approx((0.3, 0.6))
    assert screening.uncertain == pytest.approx((0.1, 0.3))
    assert balanced.uncertain == pytest.approx((0.5, 0.6))
    assert (screening.sensitivity, screening.specificity) == (pooled[0].sensitivity, pooled[0].specificity)
    assert (balanced.sensitivity, balanced.specificity) == (pooled[1].sensitivity, pooled[1].specificity)


def paired(results: tuple[JobResult, ...]) -> tuple[JobResult, ...]:
    """The same with patients of two films, which are the left and the right ones of the small manifest."""
    patients, films = tuple(f"p{number // 2}" for number in range(6)), tuple(f"mdb{n:03d}" for n in range(1, 7))
    changes = {"patients": patients, "films": films}
    return tuple(
        result.model_copy(
            update={
                "predictions": result.predictions.model_copy(update=changes | {"folds": (result.job.fold,) * 6}),
                "validation": result.validation.model_copy(update=changes),
            }
        )
        for result in results
    )


def test_films_of_both_breasts_are_judged_side_by_side_by_what_validation_films_tell() -> None:
    results = paired(folds())
    beside = judged(*results).side_by_side
    assert beside
    films, parts = films_by_id(small_manifest()), []
    for result in results:
        (validation, others), (held_out, opposite) = (
            found for each in (result.validation, result.predictions) if (found := both_sides(each, films))
        )
        centre = tuple(log_odds(validation.rows).mean(axis=0).tolist())
        temperature = fit_temperature(compared(validation.rows, others, centre), validation.truth)
        parts.append(held_out.with_rows(compared(held_out.rows, opposite, centre, temperature)))
    assert beside.metrics == evaluate(merge(parts))
    assert beside.metrics != judged(*results).metrics
    comparison = published_comparison(results[0], beside, films)
    assert comparison
    assert comparison.metrics == beside.metrics
    assert [point.sensitivity for point in comparison.operating_points] == [
        point.sensitivity for point in beside.operating_points
    ]


def test_where_no_patient_has_both_breasts_nothing_is_said_of_them() -> None:
    assert judged(*folds()).side_by_side is None
    assert published_comparison(folds()[0], None, films_by_id(small_manifest())) is None


def test_the_leaky_protocol_is_calibrated_but_gets_no_operating_points() -> None:
    plan = small_plan(protocols=("paper",))
    leaky = job_result("resnet50/paper/fold-0", predictions=HELD_OUT, validation=VALIDATION, temperature=2.0)
    (result,) = evaluate_run(plan, small_manifest(), [leaky]).results
    assert result.operating_points == ()
    assert result.calibration is None
    assert result.metrics == evaluate(HELD_OUT.with_rows(calibrate(HELD_OUT.rows, 2.0)))


def test_the_best_fold_is_chosen_by_validation_films() -> None:
    poor, good = folds()
    good = good.model_copy(update={"validation_auc": 0.8})
    assert best_fold([poor, good]) == good
    better = poor.model_copy(update={"validation_auc": 0.8, "validation_loss": 0.9})
    assert best_fold([good, better]) == better


def of_exams(results: tuple[JobResult, ...]) -> tuple[JobResult, ...]:
    """The same six films as those of two exams of three films each: R CC, R MLO and L CC."""
    films = ("e001_R_CC", "e001_R_MLO", "e001_L_CC", "e002_R_CC", "e002_R_MLO", "e002_L_CC")
    patients = ("p001",) * 3 + ("p002",) * 3
    changes = {"patients": patients, "films": films}
    return tuple(
        result.model_copy(
            update={
                "predictions": result.predictions.model_copy(update=changes | {"folds": (result.job.fold,) * 6}),
                "validation": result.validation.model_copy(update=changes),
            }
        )
        for result in results
    )


def judged_exams(*results: JobResult) -> NetworkResult:
    (result,) = evaluate_run(small_plan(protocols=("patient",)), exam_manifest(2), results).results
    return result


def test_breasts_and_exams_are_judged_by_the_rule_with_thresholds_of_validation_breasts_and_exams() -> None:
    results, films = of_exams(folds()), films_by_id(exam_manifest(2))
    breast, exam = judged_exams(*results).levels
    assert (breast.level, exam.level) == ("breast", "exam")
    for found in (breast, exam):
        parts = [by_breast_and_exam(result.predictions, films) for result in results]
        assert found.metrics == evaluate(merge([part[found.level] for part in parts if part]))
    assert (breast.metrics.n_films, exam.metrics.n_films, exam.metrics.n_patients) == (4, 2, 2)
    rule = published_exam_rule(results[0], (breast, exam), films)
    assert rule
    validation = by_breast_and_exam(results[0].validation, films)
    assert validation
    for level, figures in (("breast", rule.breast), ("exam", rule.exam)):
        scores = abnormal_score(validation[level].rows)
        for point in figures.operating_points:
            assert point.threshold == pytest.approx(choose_threshold(point.name, scores, validation[level].abnormal))
    assert rule.exam.metrics == exam.metrics
    assert ExamRule.model_validate_json(rule.model_dump_json()) == rule


def test_where_nothing_is_known_of_the_films_there_are_no_breasts_and_exams() -> None:
    assert judged(*folds()).levels == ()
    assert published_exam_rule(folds()[0], (), films_by_id(small_manifest())) is None


def test_breasts_of_one_film_are_judged_as_their_films_are() -> None:
    found = judged(*paired(folds()))
    breast, exam = found.levels
    assert breast.metrics.macro_auc == found.metrics.macro_auc
    assert breast.operating_points == found.operating_points
    assert (breast.metrics.n_films, exam.metrics.n_films) == (6, 3)


def test_breasts_and_exams_of_the_leaky_protocol_are_not_judged() -> None:
    leaky = job_result("resnet50/paper/fold-0", predictions=HELD_OUT, validation=VALIDATION)
    (result,) = evaluate_run(small_plan(protocols=("paper",)), small_manifest(), [leaky]).results
    assert result.levels == ()
