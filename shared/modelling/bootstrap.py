"""Bootstrap intervals by patient.

Patients are resampled, not films: the films of a patient are alike, and counting them as independent would make the
intervals too narrow (the cluster bootstrap; Field and Welsh, J. R. Statist. Soc. B 69, 2007).
"""

from collections.abc import Sequence

import numpy as np

from shared.domain.arrays import BoolArray, Float64Array, Int64Array
from shared.domain.records import Record


class Interval(Record):
    """A number and its 95% interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


def share(part: BoolArray, whole: BoolArray, patients: Sequence[str], resamples: int = 1000, seed: int = 0) -> Interval:
    """Return the share of the films of `whole` (n,) that are also in `part` (n,).

    The interval is the 95% percentile bootstrap interval by patient; None if `whole` is empty.
    """
    draws, patient = patient_draws(patients, resamples, seed)
    weights = np.vstack([np.ones(draws.shape[1]), draws])  # the first row is the films as they are
    shares = ratio(weights @ np.bincount(patient, part & whole), weights @ np.bincount(patient, whole), empty=np.nan)
    return percentile_interval(float(shares[0]), shares[1:])


def patient_draws(patients: Sequence[str], resamples: int, seed: int) -> tuple[Int64Array, Int64Array]:
    """Return counts of each patient per resample, and each film's patient (n,).

    Counts are resamples x patients; there are no resamples of a single patient.
    """
    names, patient = np.unique(patients, return_inverse=True)
    count = len(names)
    size = resamples if count > 1 else 0
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=size), patient


def percentile_interval(value: float, spread: Float64Array) -> Interval:
    """Return `value` with the 2.5% and 97.5% percentiles of its resamples (n,); NaN: undefined, left out."""
    defined = spread[~np.isnan(spread)]
    if np.isnan(value) or not defined.size:
        return Interval(value=None if np.isnan(value) else value, low=None, high=None)
    low, high = np.percentile(defined, (2.5, 97.5)).tolist()
    return Interval(value=value, low=low, high=high)


def ratio(part: Float64Array, whole: Float64Array, empty: float = 0.0) -> Float64Array:
    """Divide element by element; `empty` where the denominator is 0."""
    quotient = np.full(part.shape, empty)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient
