"""Smooth displacements of a film: cubic B-splines over a coarse grid of control points, as in free-form deformation.

Along each axis the slope of such a spline is at most twice the amplitude over the spacing. An amplitude of less than a
quarter of the spacing therefore never folds the film over, and can be undone by fixed-point iteration.
"""

import hashlib
import math
import struct
from functools import lru_cache

import numpy as np

from shared.domain.arrays import Float64Array
from shared.domain.films import Elastic

_DEGREE = 3


def uniform(seed: str, count: int) -> list[float]:
    """`count` numbers, even between -1 and 1. From a hash, for NumPy may change what its generators draw."""
    drawn = hashlib.shake_256(seed.encode()).digest(4 * count)
    return [number / 2**31 - 1 for number in struct.unpack(f"<{count}I", drawn)]


def displacement(elastic: Elastic, xs: Float64Array, ys: Float64Array, size: tuple[int, int]) -> Float64Array:
    """By how much a film of `size` (width, height) is displaced in x and in y (2 x len(ys) x len(xs), pixels).

    `xs` and `ys` are the coordinates of columns and rows, where pixel centres are whole numbers.
    """
    columns, rows = (math.ceil(edge / elastic.spacing) + 2 + _DEGREE for edge in size)
    points = _points(elastic, rows, columns)
    return np.asarray(_weights(ys, elastic, rows) @ points @ _weights(xs, elastic, columns).T)


@lru_cache(maxsize=1)
def _points(elastic: Elastic, rows: int, columns: int) -> Float64Array:
    """By how much the control points are displaced (2 x rows x columns). Drawn once for the pixels of a variant and
    for its lesions, whose places are asked for again and again."""
    return elastic.amplitude * np.reshape(uniform(elastic.seed, 2 * rows * columns), (2, rows, columns))


def _weights(places: Float64Array, elastic: Elastic, points: int) -> Float64Array:
    """How much each of the control points along an axis counts at `places` (len(places) x points).

    They reach one cell beyond the film; what is still farther is displaced as their edge is.
    """
    cell = np.clip(places / elastic.spacing + 1, 0, points - _DEGREE - 1e-9)
    first = cell.astype(np.int64)
    t = cell - first
    splines = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3)
    weights = np.zeros((len(places), points))
    for offset, spline in enumerate(splines):
        weights[np.arange(len(places)), first + offset] = spline / 6
    return weights
