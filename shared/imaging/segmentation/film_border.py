"""Remove scanner artefacts: white bars along the film's edges."""

from collections.abc import Callable

import cv2
import numpy as np

from shared.imaging.image import Grey

_DEEPEST = 12 / 256  # of the film's length that a bar takes up at most
_STANDS_OUT = (
    0.2,
    0.5,
)  # of the bright level that it is brighter than what lies behind it, in so much of its length
_IS_LIT = (0.3, 0.9)  # of the bright level is what a bar has at least, in so much of its length
_FADES = 2  # rows in which it fades
_PADDING = 2  # grey levels: padding around the film has no more

_SIDES: tuple[Callable[[Grey], Grey], ...] = (
    lambda film: film,
    lambda film: film[::-1],
    lambda film: film.T,
    lambda film: film.T[::-1],
)
"""Views of a film whose first rows are its top, its bottom, its left and its right columns."""


def without_bars(film: Grey) -> Grey:
    """Blacken white bars at the edges of a film (H x W), which may be padded.

    A bar is brighter than the region next to it in most of its length, and lit in nearly all of it. A film without bars
    is
    returned unchanged.
    """
    x, y, width, height = cv2.boundingRect(np.asarray(film > _PADDING, np.uint8))
    if min(width, height) < _FADES / _DEEPEST:
        return film
    scanned = film[y : y + height, x : x + width]
    cleaned: Grey | None = None
    for side in _SIDES:
        deep = _bar(side(scanned))
        if deep:
            cleaned = film.copy() if cleaned is None else cleaned
            side(cleaned[y : y + height, x : x + width])[:deep] = 0
    return film if cleaned is None else cleaned


def _bar(film: Grey) -> int:
    """Return how many of the first rows are a bar."""
    deepest = round(_DEEPEST * len(film))
    behind = film[deepest].astype(np.int16)
    for row in range(deepest):
        bright = int(film[row].max())
        stands_out = np.count_nonzero(film[row] > behind + int(_STANDS_OUT[0] * bright)) >= _STANDS_OUT[1] * len(behind)
        is_lit = np.count_nonzero(film[row] > int(_IS_LIT[0] * bright)) >= _IS_LIT[1] * len(behind)
        if not (stands_out and is_lit):
            return min(row + _FADES, deepest) if row else 0
    return deepest
