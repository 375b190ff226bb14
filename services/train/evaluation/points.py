"""What a fold would serve, and its operating points: thresholds of validation films, figures of held-out ones."""

from collections.abc import Sequence

import numpy as np

from services.train.jobs import JobResult
from shared.modelling.calibration import (
    OperatingPoint,
    OperatingPointName,
    abnormal_score,
    calibrate,
    choose_threshold,
    uncertain_band,
)
from shared.modelling.evaluation import PooledOperatingPoint
from shared.modelling.metrics import share
from shared.modelling.predictions import Predictions, merge


def best_fold(results: Sequence[JobResult]) -> JobResult:
    """The job whose network did best on its validation films; held-out films have no say."""
    return max(results, key=lambda result: (result.validation_auc or 0.0, -result.validation_loss))


def published_points(published: JobResult, pooled: Sequence[PooledOperatingPoint]) -> tuple[OperatingPoint, ...]:
    """The operating points of a card: thresholds and bands of the published fold, figures of all folds."""
    scores = abnormal_score(served(published.validation, published).rows)
    thresholds = {point.name: _threshold(point.name, published) for point in pooled}
    return tuple(
        OperatingPoint(
            name=point.name,
            threshold=thresholds[point.name],
            uncertain=uncertain_band(thresholds[point.name], scores),
            sensitivity=point.sensitivity,
            specificity=point.specificity,
        )
        for point in pooled
    )


def served_predictions(folds: Sequence[JobResult]) -> Predictions:
    """The held-out films of all folds, with the probabilities that would be served."""
    return merge([served(fold.predictions, fold) for fold in folds])


def served(predictions: Predictions, fold: JobResult) -> Predictions:
    """Return predictions of a fold with the probabilities that would be served."""
    return predictions.with_rows(calibrate(predictions.rows, fold.temperature))


def _threshold(name: OperatingPointName, fold: JobResult) -> float:
    validation = served(fold.validation, fold)
    return choose_threshold(name, abnormal_score(validation.rows), validation.abnormal)


def pooled_operating_point(name: OperatingPointName, folds: Sequence[JobResult]) -> PooledOperatingPoint:
    """Return what an operating point does to held-out films, each under its own fold's threshold."""
    held_out = merge([fold.predictions for fold in folds])
    abnormal = held_out.abnormal
    called = np.concatenate(
        [abnormal_score(served(fold.predictions, fold).rows) >= _threshold(name, fold) for fold in folds]
    )
    return PooledOperatingPoint(
        name=name,
        sensitivity=share(called, abnormal, held_out.patients),
        specificity=share(~called, ~abnormal, held_out.patients),
        true_positives=int((called & abnormal).sum()),
        false_negatives=int((~called & abnormal).sum()),
        true_negatives=int((~called & ~abnormal).sum()),
        false_positives=int((called & ~abnormal).sum()),
    )
