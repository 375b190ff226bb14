"""The films of an exam judged together: side by side with the other breast, by breast and by exam.

Each way gives what a fold would have left if it had judged so; thresholds and figures are then worked out as for films.
"""

from collections.abc import Mapping, Sequence

from services.train.evaluation.points import pooled_operating_point, published_points, served, served_predictions
from services.train.jobs import JobResult
from shared.domain.films import Film, Manifest
from shared.modelling.bilateral import Comparison, both_sides, compared, log_odds
from shared.modelling.calibration import OPERATING_POINTS, fit_temperature
from shared.modelling.evaluation import LevelResult, SideBySide
from shared.modelling.exams import LEVELS, ExamRule, Level, LevelFigures, by_breast_and_exam
from shared.modelling.metrics import evaluate


def films_of(dataset: Manifest) -> dict[str, Film]:
    """All films by their id."""
    return {film.id: film for film in dataset.films}


def beside_other_breast(
    fold: JobResult, films: Mapping[str, Film]
) -> tuple[JobResult, tuple[float, float, float]] | None:
    """What a fold would have left if it had judged each film beside that of the other breast, and the centre by which
    it does; None where it has no patient with both, among its validation films or its held-out ones."""
    validation = both_sides(served(fold.validation, fold), films)
    held_out = both_sides(served(fold.predictions, fold), films)
    if validation is None or held_out is None:
        return None
    normal, benign, malignant = log_odds(validation[0].rows).mean(axis=0).tolist()
    centre = normal, benign, malignant
    first, second = (own.with_rows(compared(own.rows, others, centre)) for own, others in (validation, held_out))
    temperature = fit_temperature(first.rows, first.truth)
    changes = {"validation": first, "predictions": second, "temperature": temperature}
    return fold.model_copy(update=changes), centre


def side_by_side(folds: Sequence[JobResult], films: Mapping[str, Film]) -> SideBySide | None:
    """Judge all folds side by side; None where a fold has no film with the same view of the other breast."""
    judged = [judged for fold in folds if (judged := beside_other_breast(fold, films))]
    if len(judged) < len(folds):
        return None
    beside = [fold for fold, _ in judged]
    return SideBySide(
        metrics=evaluate(served_predictions(beside)),
        operating_points=tuple(pooled_operating_point(name, beside) for name in OPERATING_POINTS),
    )


def published_comparison(best: JobResult, pooled: SideBySide | None, films: Mapping[str, Film]) -> Comparison | None:
    """That of a card: centre, temperature, thresholds and bands of the published fold, figures of all folds."""
    judged = beside_other_breast(best, films)
    if pooled is None or judged is None:
        return None
    fold, centre = judged
    return Comparison(
        centre=centre,
        temperature=fold.temperature,
        operating_points=published_points(fold, pooled.operating_points),
        metrics=pooled.metrics,
    )


def judged_by(level: Level, fold: JobResult, films: Mapping[str, Film]) -> JobResult | None:
    """What a fold would have left if it had judged breasts or exams; None where nothing is known of its films."""
    validation = by_breast_and_exam(served(fold.validation, fold), films)
    held_out = by_breast_and_exam(served(fold.predictions, fold), films)
    if validation is None or held_out is None:
        return None
    changes = {"validation": validation[level], "predictions": held_out[level], "temperature": 1.0}
    return fold.model_copy(update=changes)


def levels(folds: Sequence[JobResult], films: Mapping[str, Film]) -> tuple[LevelResult, ...]:
    """Judge all folds by breast and by exam; none where nothing is known of a fold's films."""
    found = []
    for level in LEVELS:
        judged = [together for fold in folds if (together := judged_by(level, fold, films))]
        if len(judged) == len(folds):
            points = tuple(pooled_operating_point(name, judged) for name in OPERATING_POINTS)
            found.append(
                LevelResult(level=level, metrics=evaluate(served_predictions(judged)), operating_points=points)
            )
    return tuple(found)


def published_exam_rule(best: JobResult, pooled: Sequence[LevelResult], films: Mapping[str, Film]) -> ExamRule | None:
    """That of a card: thresholds and bands of the published fold, figures of all folds."""
    figures = {
        result.level: LevelFigures(
            metrics=result.metrics, operating_points=published_points(judged, result.operating_points)
        )
        for result in pooled
        if (judged := judged_by(result.level, best, films))
    }
    return ExamRule(breast=figures["breast"], exam=figures["exam"]) if set(figures) == set(LEVELS) else None
