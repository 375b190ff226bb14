"""The figures of a published version on films of another data set.

Nothing is fitted here: thresholds, and the parameters of the comparison of both breasts, are those of the card.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from services.train.evaluation.operating_points import judged_point
from shared.domain.films import Dataset, Film
from shared.domain.records import Label
from shared.errors import DatasetError
from shared.evaluations.plan import EvaluationPlan, FilmProbabilities
from shared.modelling.bilateral import Comparison, both_sides, compared
from shared.modelling.calibration import OperatingPoint, abnormal_score, reliability
from shared.modelling.card import ModelCard
from shared.modelling.evaluation import LevelResult, PooledOperatingPoint, SideBySide
from shared.modelling.exams import ExamRule, Level, by_breast_and_exam
from shared.modelling.external import ExternalEvaluation, RefusedFilm
from shared.modelling.metrics import evaluate
from shared.modelling.predictions import FoldPredictions
from shared.modelling.subgroups import by_group


def external_predictions(judged: Sequence[FilmProbabilities], films: Sequence[Film]) -> FoldPredictions:
    """Join answers with what is known of the films, as those of one fold.

    Raises:
        DatasetError: there is no answer.
    """
    if not judged:
        raise DatasetError("the data set", "has no film that the version can judge; the evaluation says why, by film")
    known = {film.id: film for film in films}
    return FoldPredictions(
        films=tuple(answer.film for answer in judged),
        patients=tuple(known[answer.film].patient for answer in judged),
        labels=tuple(known[answer.film].label for answer in judged),
        probabilities=tuple(answer.probabilities for answer in judged),
        folds=(0,) * len(judged),
    )


def evaluate_external(
    plan: EvaluationPlan,
    card: ModelCard,
    dataset: Dataset,
    films: Sequence[Film],
    predictions: FoldPredictions,
    refused: Sequence[RefusedFilm],
) -> ExternalEvaluation:
    """Compute all figures of an evaluation.

    Args:
        plan: of the evaluation.
        card: of the version.
        dataset: that it is tested on.
        films: of the data set.
        predictions: calibrated, of the films that were judged.
        refused: films that were not.
    """
    known = {film.id: film for film in films}
    counts = Counter(predictions.labels)
    return ExternalEvaluation(
        evaluation=plan.evaluation,
        created=plan.created,
        code_version=plan.code_version,
        network=plan.network,
        version=plan.version,
        run=card.run,
        trained_on=card.dataset,
        dataset=plan.dataset,
        dataset_version=plan.dataset_version,
        films_sha256=plan.films_sha256,
        synthetic=dataset.synthetic,
        terms=dataset.known_terms,
        labelling=dataset.labelling,
        training_terms=card.data_terms,
        films=len(films),
        patients=len({film.patient for film in films}),
        left_out=plan.left_out,
        refused=tuple(refused),
        class_counts={label.value: counts[label] for label in Label},
        metrics=evaluate(predictions),
        operating_points=_points(card.operating_points, predictions),
        bins=reliability(predictions.rows, predictions.truth),
        side_by_side=_side_by_side(card.comparison, predictions, known) if card.comparison else None,
        levels=_levels(card.exam_rule, predictions, known) if card.exam_rule else (),
        groups=by_group(predictions, known),
        cross_validated=card.metrics,
    )


def _points(points: Sequence[OperatingPoint], predictions: FoldPredictions) -> tuple[PooledOperatingPoint, ...]:
    scores = abnormal_score(predictions.rows)
    return tuple(judged_point(point.name, scores >= point.threshold, predictions) for point in points)


def _side_by_side(comparison: Comparison, predictions: FoldPredictions, films: Mapping[str, Film]) -> SideBySide | None:
    pairs = both_sides(predictions, films)
    if pairs is None:
        return None
    own, others = pairs
    judged = own.with_rows(compared(own.rows, others, comparison.centre, comparison.temperature))
    return SideBySide(metrics=evaluate(judged), operating_points=_points(comparison.operating_points, judged))


def _levels(rule: ExamRule, predictions: FoldPredictions, films: Mapping[str, Film]) -> tuple[LevelResult, ...]:
    judged = by_breast_and_exam(predictions, films) or {}
    points: dict[Level, tuple[OperatingPoint, ...]] = {
        "breast": rule.breast.operating_points,
        "exam": rule.exam.operating_points,
    }
    return tuple(
        LevelResult(level=level, metrics=evaluate(units), operating_points=_points(points[level], units))
        for level, units in judged.items()
    )
