"""Films judged together: beside those of the other breast, by breast and by exam."""

import pytest

from services.train.evaluation.evaluate import evaluate_run
from services.train.evaluation.exams import films_by_id, published_comparison, published_exam_rule
from services.train.jobs import JobResult
from shared.modelling.bilateral import both_sides, compared, log_odds
from shared.modelling.calibration import (
    abnormal_score,
    choose_threshold,
    fit_temperature,
)
from shared.modelling.evaluation import NetworkResult
from shared.modelling.exams import ExamRule, by_breast_and_exam
from shared.modelling.metrics import evaluate
from shared.modelling.predictions import merge
from tests.support.builders import exam_manifest, job_result, small_manifest, small_plan
from tests.support.folds import HELD_OUT, VALIDATION, folds, judged


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


class TestSideBySide:
    def test_films_of_both_breasts_are_judged_side_by_side_by_what_validation_films_tell(self) -> None:
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

    def test_where_no_patient_has_both_breasts_nothing_is_said_of_them(self) -> None:
        assert judged(*folds()).side_by_side is None
        assert published_comparison(folds()[0], None, films_by_id(small_manifest())) is None


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


class TestLevels:
    def test_breasts_and_exams_are_judged_by_the_rule_with_thresholds_of_validation_breasts_and_exams(self) -> None:
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
                assert point.threshold == pytest.approx(
                    choose_threshold(point.name, scores, validation[level].abnormal)
                )
        assert rule.exam.metrics == exam.metrics
        assert ExamRule.model_validate_json(rule.model_dump_json()) == rule

    def test_where_nothing_is_known_of_the_films_there_are_no_breasts_and_exams(self) -> None:
        assert judged(*folds()).levels == ()
        assert published_exam_rule(folds()[0], (), films_by_id(small_manifest())) is None

    def test_breasts_of_one_film_are_judged_as_their_films_are(self) -> None:
        found = judged(*paired(folds()))
        breast, exam = found.levels
        assert breast.metrics.macro_auc == found.metrics.macro_auc
        assert breast.operating_points == found.operating_points
        assert (breast.metrics.n_films, exam.metrics.n_films) == (6, 3)

    def test_breasts_and_exams_of_the_leaky_protocol_are_not_judged(self) -> None:
        leaky = job_result("resnet50/paper/fold-0", predictions=HELD_OUT, validation=VALIDATION)
        (result,) = evaluate_run(small_plan(protocols=("paper",)), small_manifest(), [leaky]).results
        assert result.levels == ()
