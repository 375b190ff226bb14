"""ROC curves, and areas and sensitivities of many bootstrap resamples at once.

Resamples are rows of `weights`, which say how often each of n films counts (rows x n).
"""

import numpy as np
from pydantic import Field

from shared.domain.arrays import BoolArray, Float64Array
from shared.domain.records import Record
from shared.modelling.bootstrap import percentile_interval, ratio

ROC_POINTS = 200  # more can't be distinguished in a figure
BAND_RATES = tuple(step / 10 for step in range(11))


class RocCurve(Record):
    """A ROC curve from (0, 0) to (1, 1), thinned to at most ROC_POINTS points."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    band: tuple[tuple[float, float, float], ...] = Field(
        (), description="false positive rate, and the 95% interval of the true positive rate there"
    )


def roc_curve(scores: Float64Array, positive: BoolArray) -> RocCurve | None:
    """Compute the ROC curve of scores (n,) against the truth (n,).

    None if one class has no films.
    """
    if positive.all() or not positive.any():
        return None
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    hits = np.append(0, np.cumsum(positive[order])[last_of_tie])
    alarms = np.append(0, np.cumsum(~positive[order])[last_of_tie])
    kept = np.unique(np.linspace(0, len(hits) - 1, ROC_POINTS).round().astype(int))
    return RocCurve(
        false_positive_rate=tuple((alarms[kept] / alarms[-1]).tolist()),
        true_positive_rate=tuple((hits[kept] / hits[-1]).tolist()),
    )


def with_band(
    curve: RocCurve | None, scores: Float64Array, positive: BoolArray, weights: Float64Array
) -> RocCurve | None:
    """Add the 95% band to a curve; unchanged without resamples."""
    if curve is None or not len(weights):
        return curve
    band = []
    for rate in BAND_RATES:
        interval = percentile_interval(0.0, sensitivity_at(1 - rate, scores, positive, weights))
        if interval.low is not None and interval.high is not None:
            band.append((rate, interval.low, interval.high))
    return curve.model_copy(update={"band": tuple(band)})


def weighted_auc(scores: Float64Array, positive: BoolArray, weights: Float64Array) -> Float64Array:
    """Compute areas under the ROC curve (rows,) by the Mann-Whitney count, ties as one half; NaN for one class only."""
    order = np.argsort(scores, kind="stable")
    ties = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
    ordered = weights[:, order]
    above = np.add.reduceat(ordered * positive[order], ties, axis=1)
    below = np.add.reduceat(ordered * ~positive[order], ties, axis=1)
    wins = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
    return ratio(wins, above.sum(axis=1) * below.sum(axis=1), empty=np.nan)


def sensitivity_at(
    specificity: float, scores: Float64Array, positive: BoolArray, weights: Float64Array
) -> Float64Array:
    """Return the largest sensitivity (rows,) at a specificity; NaN for one class only."""
    order = np.argsort(-scores, kind="stable")
    ties = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
    ordered = weights[:, order]
    hits = np.cumsum(np.add.reduceat(ordered * positive[order], ties, axis=1), axis=1)
    alarms = np.cumsum(np.add.reduceat(ordered * ~positive[order], ties, axis=1), axis=1)
    allowed = alarms <= (1 - specificity) * alarms[:, -1:] + 1e-9
    best = np.where(allowed, hits, 0).max(axis=1)
    return np.where(alarms[:, -1] > 0, ratio(best, hits[:, -1], empty=np.nan), np.nan)
