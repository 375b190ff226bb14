"""Connected regions of a reduced film: masks are uint8, 0 and 1, H x W; contours are OpenCV's, N x 1 x 2 (x, y)."""

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import NotAMammogram
from shared.imaging.image import Grey

Points: TypeAlias = npt.NDArray[np.int32]
Rows: TypeAlias = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Every row that a region takes up, and its first and its last column there."""

_BANDS = 80  # in so many columns of the frame's width a straight border lies within one


def u8(array: npt.NDArray[np.generic] | cv2.typing.MatLike) -> Grey:
    return np.asarray(array, np.uint8)


def largest(mask: Grey, complaint: str = "nothing in the image differs from its background") -> tuple[Grey, Points]:
    """Return the largest connected region, without holes, and its contour.

    Raises:
        NotAMammogram: there is none; `complaint` is the reason.
    """
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        raise NotAMammogram(complaint)
    contour = max(contours, key=cv2.contourArea)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), [contour], -1, 1, cv2.FILLED)
    return u8(filled), np.asarray(contour, np.int32)


def opened(mask: Grey, radius: int) -> Grey:
    """Remove parts narrower than twice the radius; the frame's edge counts as inside."""
    square, crosses = _octagon(radius)
    return grown(u8(cv2.erode(cv2.erode(mask, square), _CROSS, iterations=crosses)), radius)


def grown(mask: Grey, radius: int) -> Grey:
    """Dilate by an octagon: a small square and some crosses are several times as fast as a disc."""
    square, crosses = _octagon(radius)
    return u8(cv2.dilate(cv2.dilate(mask, square), _CROSS, iterations=crosses))


def _octagon(radius: int) -> tuple[Grey, int]:
    if radius not in _OCTAGONS:
        crosses = round(radius * (2 - 2**0.5))
        _OCTAGONS[radius] = np.ones((2 * (radius - crosses) + 1,) * 2, np.uint8), crosses
    return _OCTAGONS[radius]


_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_OCTAGONS: dict[int, tuple[Grey, int]] = {}


def borders(mask: Grey, contour: Points) -> Rows:
    """Return the rows of a region with its first and its last column in each."""
    _, top, _, height = cv2.boundingRect(contour)
    inside = mask[top : top + height]
    # flipped by OpenCV: the reversed view of NumPy takes twice as long to search
    first, after = (u8(rows).view(np.bool_).argmax(axis=1) for rows in (inside, cv2.flip(inside, 1)))
    return np.arange(top, top + height), first, inside.shape[1] - 1 - after


def straight_shares(rows: Rows, width: int) -> tuple[float, float]:
    """Return the shares of rows with a straight left, and a straight right, border.

    A border is straight within one band of columns: 1/80 of the frame's width, one column at least. A chest wall comes
    near to 1, skin to 0.2.
    """
    _, first, last = rows
    band = max(1, round(width / _BANDS))
    return _within_one_band(first, band), _within_one_band(last, band)


def _within_one_band(columns: npt.NDArray[np.intp], band: int) -> float:
    counts = np.bincount(columns)
    sums = np.concatenate([[0], counts.cumsum()])
    reach = min(band + 1, len(counts))
    return float((sums[reach:] - sums[:-reach]).max()) / len(columns)


def around(outline: Grey, region: Grey) -> Grey:
    """Return the part of an outline at one region, with the pixels next to it: the edge lies between them."""
    return u8(cv2.copyTo(outline, cv2.dilate(region, np.ones((3, 3), np.uint8))))


def part_of_way(value: float, between: tuple[float, float]) -> float:
    """Return the relative position of a value between two limits, 0 to 1."""
    return min(max((value - between[0]) / (between[1] - between[0]), 0.0), 1.0)
