"""Evaluation of films together: compared with the other breast, by breast, and by exam.

Each way turns the result of a fold into the result of a fold that had judged in that way; thresholds and metrics are
then computed as for single films.
"""

from collections.abc import Mapping, Sequence

from services.train.evaluation.operating_points import (
    calibrated,
    pooled_operating_points,
    pooled_predictions,
    published_points,
)
from services.train.jobs import JobResult
from shared.domain.films import Film, Manifest
from shared.modelling.bilateral import Comparison, both_sides, compared, log_odds
from shared.modelling.calibration import fit_temperature
from shared.modelling.evaluation import LevelResult, SideBySide
from shared.modelling.exams import LEVELS, ExamRule, Level, LevelFigures, by_breast_and_exam
from shared.modelling.metrics import evaluate


def films_by_id(dataset: Manifest) -> dict[str, Film]:
    """Index the films of a data set by their ids."""
    return {film.id: film for film in dataset.films}


def compare_breasts(fold: JobResult, films: Mapping[str, Film]) -> tuple[JobResult, tuple[float, float, float]] | None:
    """Compare each film of a fold with the same view of the other breast.

    Returns:
        The result of the fold under comparison, and the centre of the comparison (`bilateral.Comparison`); None if no
        patient has films of both breasts among the validation films, or among the held-out films.
    """
    validation = both_sides(calibrated(fold.validation, fold), films)
    held_out = both_sides(calibrated(fold.predictions, fold), films)
    if validation is None or held_out is None:
        return None
    normal, benign, malignant = log_odds(validation[0].rows).mean(axis=0).tolist()
    centre = normal, benign, malignant
    first, second = (own.with_rows(compared(own.rows, others, centre)) for own, others in (validation, held_out))
    temperature = fit_temperature(first.rows, first.truth)
    changes = {"validation": first, "predictions": second, "temperature": temperature}
    return fold.model_copy(update=changes), centre


def side_by_side(folds: Sequence[JobResult], films: Mapping[str, Film]) -> SideBySide | None:
    """Evaluate all folds under comparison of both breasts; None if `compare_breasts` is None for one of them."""
    compared_folds = [comparison[0] for fold in folds if (comparison := compare_breasts(fold, films))]
    if len(compared_folds) < len(folds):
        return None
    return SideBySide(
        metrics=evaluate(pooled_predictions(compared_folds)),
        operating_points=pooled_operating_points(compared_folds),
    )


def published_comparison(best: JobResult, pooled: SideBySide | None, films: Mapping[str, Film]) -> Comparison | None:
    """Return a card's comparison: centre, temperature and thresholds of the published fold, metrics of all folds."""
    comparison = compare_breasts(best, films)
    if pooled is None or comparison is None:
        return None
    fold, centre = comparison
    return Comparison(
        centre=centre,
        temperature=fold.temperature,
        operating_points=published_points(fold, pooled.operating_points),
        metrics=pooled.metrics,
    )


def judge_by_level(fold: JobResult, films: Mapping[str, Film]) -> dict[Level, JobResult]:
    """Return the result of a fold by breast and by exam; empty if none of its films is among `films`."""
    validation = by_breast_and_exam(calibrated(fold.validation, fold), films)
    held_out = by_breast_and_exam(calibrated(fold.predictions, fold), films)
    if validation is None or held_out is None:
        return {}
    return {
        level: fold.model_copy(
            update={"validation": validation[level], "predictions": held_out[level], "temperature": 1.0}
        )
        for level in LEVELS
    }


def levels(folds: Sequence[JobResult], films: Mapping[str, Film]) -> tuple[LevelResult, ...]:
    """Evaluate all folds by breast and by exam; empty if `judge_by_level` is for one of them."""
    judged = [judge_by_level(fold, films) for fold in folds]
    if not all(judged):
        return ()
    results = []
    for level in LEVELS:
        of_level = [fold[level] for fold in judged]
        metrics = evaluate(pooled_predictions(of_level))
        results.append(LevelResult(level=level, metrics=metrics, operating_points=pooled_operating_points(of_level)))
    return tuple(results)


def published_exam_rule(best: JobResult, pooled: Sequence[LevelResult], films: Mapping[str, Film]) -> ExamRule | None:
    """Return a card's rule for exams: thresholds and bands of the published fold, metrics of all folds."""
    judged = judge_by_level(best, films)
    figures = {
        result.level: LevelFigures(
            metrics=result.metrics, operating_points=published_points(judged[result.level], result.operating_points)
        )
        for result in pooled
        if result.level in judged
    }
    return ExamRule(breast=figures["breast"], exam=figures["exam"]) if set(figures) == set(LEVELS) else None
