"""Calibrated predictions of folds, and operating points.

Thresholds come from validation films, metrics from held-out films.
"""

from collections.abc import Sequence

import numpy as np

from services.train.jobs import JobResult
from shared.domain.arrays import BoolArray, Float64Array
from shared.modelling.bootstrap import share
from shared.modelling.calibration import (
    OPERATING_POINTS,
    OperatingPoint,
    OperatingPointName,
    abnormal_score,
    calibrate,
    choose_threshold,
    uncertain_band,
)
from shared.modelling.evaluation import PooledOperatingPoint
from shared.modelling.predictions import FoldPredictions, merge


def best_fold(results: Sequence[JobResult]) -> JobResult:
    """Return the job with the best validation scores; held-out films have no influence."""
    return max(results, key=lambda result: (result.validation_auc or 0.0, -result.validation_loss))


def calibrated(predictions: FoldPredictions, fold: JobResult) -> FoldPredictions:
    """Calibrate predictions by the temperature of their fold, as inference does."""
    return predictions.with_rows(calibrate(predictions.rows, fold.temperature))


def pooled_predictions(folds: Sequence[JobResult]) -> FoldPredictions:
    """Return the calibrated predictions for the held-out films of all folds."""
    return merge([calibrated(fold.predictions, fold) for fold in folds])


def pooled_operating_points(folds: Sequence[JobResult]) -> tuple[PooledOperatingPoint, ...]:
    """Compute the metrics of all operating points on held-out films."""
    held_out = merge([fold.predictions for fold in folds])

    def called(name: OperatingPointName) -> BoolArray:
        """Tell which films are called abnormal, each under its own fold's threshold."""
        return np.concatenate([_scores(fold.predictions, fold) >= _threshold(name, fold) for fold in folds])

    return tuple(judged_point(name, called(name), held_out) for name in OPERATING_POINTS)


def judged_point(name: OperatingPointName, called: BoolArray, predictions: FoldPredictions) -> PooledOperatingPoint:
    """Compute the metrics of an operating point at which the films are `called` abnormal (n,)."""
    abnormal = predictions.abnormal
    return PooledOperatingPoint(
        name=name,
        sensitivity=share(called, abnormal, predictions.patients),
        specificity=share(~called, ~abnormal, predictions.patients),
        true_positives=int((called & abnormal).sum()),
        false_negatives=int((~called & abnormal).sum()),
        true_negatives=int((~called & ~abnormal).sum()),
        false_positives=int((called & ~abnormal).sum()),
    )


def published_points(published: JobResult, pooled: Sequence[PooledOperatingPoint]) -> tuple[OperatingPoint, ...]:
    """Return a card's operating points: thresholds and bands of the published fold, metrics of all folds."""
    scores = _scores(published.validation, published)
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


def _threshold(name: OperatingPointName, fold: JobResult) -> float:
    return choose_threshold(name, _scores(fold.validation, fold), fold.validation.abnormal)


def _scores(predictions: FoldPredictions, fold: JobResult) -> Float64Array:
    """Return the calibrated abnormal scores of films (n,)."""
    return abnormal_score(calibrate(predictions.rows, fold.temperature))
