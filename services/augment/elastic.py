"""Smooth displacements of a film: cubic B-splines on a coarse control grid.

Along each axis the slope of such a spline is at most twice the amplitude over the spacing. An amplitude of less than a
quarter of the spacing therefore never folds the film over, and can be inverted by fixed-point iteration.
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
    """Draw `count` numbers uniformly between -1 and 1.

    They come from a hash, because NumPy may change its generators.
    """
    drawn = hashlib.shake_256(seed.encode()).digest(4 * count)
    return [number / 2**31 - 1 for number in struct.unpack(f"<{count}I", drawn)]


def displacement(elastic: Elastic, xs: Float64Array, ys: Float64Array, size: tuple[int, int]) -> Float64Array:
    """Return the displacement in x and y (2 x len(ys) x len(xs), pixels).

    Args:
        elastic: parameters.
        xs: coordinates of columns; pixel centres are whole numbers.
        ys: coordinates of rows.
        size: width and height of the film.
    """
    columns, rows = (math.ceil(edge / elastic.spacing) + 2 + _DEGREE for edge in size)
    points = _points(elastic, rows, columns)
    return np.asarray(_weights(ys, elastic, rows) @ points @ _weights(xs, elastic, columns).T)


@lru_cache(maxsize=1)
def _points(elastic: Elastic, rows: int, columns: int) -> Float64Array:
    """Draw the displacement of the control points (2 x rows x columns).

    Cached, because a variant's pixels and its lesions need it repeatedly.
    """
    return elastic.amplitude * np.reshape(uniform(elastic.seed, 2 * rows * columns), (2, rows, columns))


def _weights(places: Float64Array, elastic: Elastic, points: int) -> Float64Array:
    """Return the weight of each control point along an axis (len(places) x points).

    Points reach one cell beyond the film; places farther out are displaced like that edge.
    """
    cell = np.clip(places / elastic.spacing + 1, 0, points - _DEGREE - 1e-9)
    first = cell.astype(np.int64)
    t = cell - first
    splines = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3)
    weights = np.zeros((len(places), points))
    for offset, spline in enumerate(splines):
        weights[np.arange(len(places)), first + offset] = spline / 6
    return weights
