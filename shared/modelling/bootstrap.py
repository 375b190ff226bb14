"""Bootstrap intervals by patient.

Patients are resampled, not films: the films of a patient are alike, and counting them as independent would make the
intervals too narrow (the cluster bootstrap; Field and Welsh, J. R. Statist. Soc. B 69, 2007).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from shared.domain.records import Record

_DRAWN_AT_ONCE = 64
_EXACT = 2**24  # up to which float32 holds all whole numbers
_FEW = 16  # groups, for which a matrix product is faster than sorting
_BLOCK = 4_000_000  # weights of films in memory at a time


class Interval(Record):
    """A number and its 95% interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Resamples:
    """Resamples of patients: `draws` (float32 rows x patients) say how often each counts, `patient` (n,) whose film is.

    Sums over films are computed by patient, so that their cost hardly grows with the number of films.
    """

    draws: Float32Array
    patient: Int64Array

    @classmethod
    def of(cls, patients: Sequence[str], resamples: int, seed: int) -> Self:
        """Draw resamples of the patients of films (n); there are none of a single patient."""
        names, patient = np.unique(patients, return_inverse=True)
        return cls(_drawn(len(names), resamples if len(names) > 1 else 0, seed), patient)

    @property
    def as_they_are(self) -> "Resamples":
        """A single row in which each film counts once."""
        return Resamples(np.ones((1, self.draws.shape[1]), np.float32), self.patient)

    @property
    def with_films_first(self) -> "Resamples":
        """The same rows after one in which each film counts once."""
        return Resamples(np.concatenate([self.as_they_are.draws, self.draws]), self.patient)

    def blocks(self, size: int = _BLOCK) -> Iterator["Resamples"]:
        """Yield all rows in blocks of at most about `size` weights of films; one empty block if there are no rows."""
        rows = max(1, size // max(1, len(self.patient)))
        for first in range(0, max(1, len(self.draws)), rows):
            yield self.rows(first, first + rows)

    def rows(self, first: int, end: int) -> "Resamples":
        """Return some of the rows."""
        return Resamples(self.draws[first:end], self.patient)

    def sums(self, values: npt.NDArray[np.generic]) -> Float64Array:
        """Return the sums of values of films, (n,) or n x k, in every row: (rows,) or rows x k."""
        columns = values.reshape(len(values), -1).T
        by_patient = np.stack([np.bincount(self.patient, column, self.draws.shape[1]) for column in columns], axis=1)
        if values.dtype.kind in "bui" and self._largest_sum * int(values.max(initial=1)) < _EXACT:
            sums = (self.draws @ by_patient.astype(np.float32)).astype(np.float64)
        else:
            sums = np.concatenate([block.draws.astype(np.float64) @ by_patient for block in self.blocks()])
        return sums.reshape(len(self.draws), *values.shape[1:])

    def counts(self, groups: Int64Array, number: int) -> Float64Array:
        """Return how many films each of `number` groups has in every row, rows x number; `groups` (n,) are theirs."""
        if number <= _FEW:
            return self.sums(np.eye(number, dtype=bool)[groups])
        order = np.argsort(groups, kind="stable")
        occurring, starts = np.unique(groups[order], return_index=True)
        weights = np.ascontiguousarray(self.draws.T)[self.patient[order]]
        dtype = np.float32 if self._largest_sum < _EXACT else np.float64
        counts = np.zeros((number, len(self.draws)))
        counts[occurring] = np.add.reduceat(weights, starts, axis=0, dtype=dtype)
        return counts.T

    @property
    def _largest_sum(self) -> int:
        return len(self.patient) * int(self.draws.max(initial=0))


def share(part: BoolArray, whole: BoolArray, patients: Sequence[str], resamples: int = 1000, seed: int = 0) -> Interval:
    """Return the share of the films of `whole` (n,) that are also in `part` (n,).

    The interval is the 95% percentile bootstrap interval by patient; None if `whole` is empty.
    """
    films = Resamples.of(patients, resamples, seed).with_films_first
    sums = films.sums(np.stack([part & whole, whole], axis=1))
    shares = ratio(sums[:, 0], sums[:, 1], empty=np.nan)
    return percentile_interval(float(shares[0]), shares[1:])


@lru_cache(maxsize=2)
def _drawn(patients: int, resamples: int, seed: int) -> Float32Array:
    """Draw how often each of so many patients counts, resamples x patients."""
    random, even = np.random.default_rng(seed), np.full(patients, 1 / patients)
    parts = [min(_DRAWN_AT_ONCE, resamples - first) for first in range(0, resamples, _DRAWN_AT_ONCE)]
    drawn = [random.multinomial(patients, even, size=part).astype(np.float32) for part in parts]
    counts = np.concatenate([np.empty((0, patients), np.float32), *drawn])
    counts.flags.writeable = False
    return counts


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
