"""Calibrated predictions of folds, and operating points.

Thresholds come from validation films, metrics from held-out films.
"""

from collections.abc import Sequence

import numpy as np

from services.train.jobs import JobResult
from shared.domain.arrays import BoolArray
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
    return tuple(_pooled_operating_point(name, folds) for name in OPERATING_POINTS)


def _pooled_operating_point(name: OperatingPointName, folds: Sequence[JobResult]) -> PooledOperatingPoint:
    """Compute the metrics of an operating point on held-out films, each under its own fold's threshold."""
    called = np.concatenate(
        [abnormal_score(calibrated(fold.predictions, fold).rows) >= _threshold(name, fold) for fold in folds]
    )
    return judged_point(name, called, merge([fold.predictions for fold in folds]))


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
    scores = abnormal_score(calibrated(published.validation, published).rows)
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
    validation = calibrated(fold.validation, fold)
    return choose_threshold(name, abnormal_score(validation.rows), validation.abnormal)
