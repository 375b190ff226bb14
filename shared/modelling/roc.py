"""ROC curves, and areas and sensitivities of many bootstrap resamples at once."""

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from shared.domain.arrays import BoolArray, Float64Array
from shared.domain.records import Record
from shared.modelling.bootstrap import Resamples, percentile_interval, ratio

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


@dataclass(frozen=True, eq=False)
class RankedCounts:
    """Weights of the positive films and of the others (`above`, `below`) by score, lowest first: rows x bins.

    Rows are resamples. Scores between two neighbouring scores of the rarer class share a bin: in which order they come
    there changes no area and no sensitivity.
    """

    above: Float64Array
    below: Float64Array

    @classmethod
    def of(cls, scores: Float64Array, positive: BoolArray, resamples: Resamples) -> "RankedCounts":
        """Count films by scores (n,) and truth (n,) in every resample."""
        rarer = positive if 2 * positive.sum() <= len(positive) else ~positive
        levels = np.unique(scores[rarer])
        at = np.searchsorted(levels, scores)
        exact = np.append(levels, np.nan)[at] == scores
        bins = 2 * (2 * at + exact) + positive
        counts = resamples.counts(bins, 4 * len(levels) + 2)
        return cls(above=counts[:, 1::2], below=counts[:, ::2])

    def areas(self) -> Float64Array:
        """Compute areas under the ROC curve (rows,) by the Mann-Whitney count, ties as one half.

        NaN for one class only.
        """
        wins = (self.above * (np.cumsum(self.below, axis=1) - self.below / 2)).sum(axis=1)
        return ratio(wins, self.above.sum(axis=1) * self.below.sum(axis=1), empty=np.nan)

    def sensitivities(self, *specificities: float) -> tuple[Float64Array, ...]:
        """Return the largest sensitivity (rows,) at each specificity; NaN for one class only."""
        hits, alarms = (np.cumsum(counts[:, ::-1], axis=1) for counts in (self.above, self.below))
        found = []
        for specificity in specificities:
            allowed = alarms <= (1 - specificity) * alarms[:, -1:] + 1e-9
            best = np.where(allowed, hits, 0).max(axis=1)
            found.append(np.where(alarms[:, -1] > 0, ratio(best, hits[:, -1], empty=np.nan), np.nan))
        return tuple(found)


def with_band(curve: RocCurve | None, ranked: RankedCounts) -> RocCurve | None:
    """Add the 95% band to a curve, from its films' resamples; unchanged without any."""
    if curve is None or not len(ranked.above):
        return curve
    band = []
    for rate, spread in zip(BAND_RATES, ranked.sensitivities(*(1 - rate for rate in BAND_RATES)), strict=True):
        interval = percentile_interval(0.0, spread)
        if interval.low is not None and interval.high is not None:
            band.append((rate, interval.low, interval.high))
    return curve.model_copy(update={"band": tuple(band)})
