"""Find the edge of the pectoral muscle.

The muscle is the brighter triangle between the top of a film and its chest wall. On oblique views its edge is nearly
straight and runs from the top of the breast down to the chest wall. As in Karssemeijer 1998 ("Automated classification
of parenchymal patterns in mammograms") a straight edge is searched first, here by its mean fall in grey level over all
lines instead of by a Hough transform, and then bent and moved a little.
"""

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

from shared.domain.arrays import Float32Array, Float64Array
from shared.imaging.segmentation.regions import part_of_way
from shared.imaging.segmentation.upright import Upright

Edges: TypeAlias = Float32Array
"""K x 3: where an edge meets the top and the chest wall, and by how much it is bowed outwards."""

SAMPLES = 32  # points at which an edge is measured
SKIN = 6  # pixels of the upright film next to the skin whose steep fall in grey level says nothing of the muscle
LEAST_INSIDE = 0.35  # of an edge must lie inside the breast
FALL = (-0.03, 0.04)  # of the mean grey level of the breast, a pixel: more at a point of an edge counts no more
MUSCLE = (0.009, 0.012)  # mean fall along the edge, as above, with which there is no muscle, and all of it
SMALL = (0.053, 0.06)  # part of the area of the breast that a muscle takes up, with which none is cut, and all of it
NEARLY = 0.05  # of the best score below which an edge counts a third as much, and so on
RETREAT = (0.99, 0.87)  # of the edge's length along the top and down the wall, where it is seen the least, is cut
ANGLE = (26.0, 9.0)  # mean and spread of the edge's angle to the chest wall, degrees
TOP = (0.45, 0.45)  # ... of its start along the top, in widths of the breast
BOTTOM = (0.47, 0.4)  # ... of its end along the chest wall, in heights of the breast
ODDEST = 8.0  # squared spreads in all: edges that are farther off are not looked at


def _grid(top: Float64Array, bottom: Float64Array, sag: Float64Array) -> Edges:
    """All edges (K x 3) from (top, 0) to (0, bottom), bowed outwards by `sag`."""
    return np.stack([axis.ravel() for axis in np.meshgrid(top, bottom, sag)], axis=1).astype(np.float32)


COARSE = _grid(np.arange(0.12, 1.3, 0.05), np.arange(0.15, 0.9, 0.04), np.zeros(1))
"""The straight edges that are tried, in widths and heights of the breast."""
NEAR = _grid(np.linspace(-0.036, 0.036, 5), np.linspace(-0.036, 0.036, 5), np.linspace(-0.05, 0.1, 9))
"""What is added to the best of them: widths and heights of the breast, and lengths of the edge."""
ALONG = np.linspace(0, 1, SAMPLES, dtype=np.float32)[None]
SPARSE = np.linspace(0, 1, SAMPLES // 2, dtype=np.float32)[None]
"""Where an edge is measured, and where a coarse one is, in its lengths."""


@dataclass(frozen=True, eq=False)
class _Slope:
    """Slope of the upright film's grey level to the right and down (H x W).

    The unit is the mean grey level of the breast, a pixel; `inside` is 1 where the slope may be of the muscle, else 0.
    """

    across: Float32Array
    down: Float32Array
    inside: Float32Array


def find_pectoral(breast: Upright) -> Float32Array:
    """Return the outline of the pectoral muscle in pixels of `ReducedFilm.grey`.

    The cut falls short of the edge, because remaining muscle does less harm than a removed lesion. It shrinks to
    nothing where the edge is faint, so that a small change of the film makes a small change of its mask.

    Returns:
        Points x, y: float32, N x 2; N is 0 if there is no muscle.
    """
    smooth = cv2.GaussianBlur(breast.grey, (9, 9), 2.0)
    scale = 1 / (8 * breast.level)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *axis, scale=scale) for axis in ((1, 0), (0, 1)))
    slope = _Slope(np.asarray(across, np.float32), np.asarray(down, np.float32), _away_from_skin(breast.breast))

    height, width = breast.grey.shape
    straight, fall = _likely(COARSE * np.array([width, height, 0], np.float32), slope, SPARSE)
    if fall <= 0:
        return np.zeros((0, 2), np.float32)
    length = np.hypot(straight[0], straight[1])
    edge, fall = _likely(straight + NEAR * np.array([width, height, length], np.float32), slope)
    edge = edge * np.array([*RETREAT, 1], np.float32)
    area = 0.5 * float(edge[0] * edge[1]) / cv2.countNonZero(breast.breast)
    share = min(part_of_way(fall, MUSCLE), part_of_way(area, SMALL))
    if not share:
        return np.zeros((0, 2), np.float32)

    edge = edge * share
    points = np.concatenate(_trace(edge[None])).T
    # Close the outline well outside the breast, the edge prolonged above the top.
    above = points[0] + 0.5 * edge[:2] * (1, -1)
    outline = np.vstack([above, points, (-0.5 * width, points[-1, 1]), (-0.5 * width, above[1])])
    return breast.on_film(outline)


def _away_from_skin(breast: cv2.typing.MatLike) -> Float32Array:
    """Return 1 where there is breast SKIN pixels to the right and below, else 0.

    The chest wall and the top are no skin.
    """
    square = np.ones((SKIN + 1, SKIN + 1), np.uint8)
    inside = cv2.erode(breast, square, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return inside.astype(np.float32)


def _trace(edges: Edges, along: Edges = ALONG) -> tuple[Edges, Edges]:
    """Return the points x, y (float32, K x N) of edges, at N places along them."""
    top, bottom, sag = (column[:, None] for column in edges.T)
    if not sag.any():
        return top * (1 - along), bottom * along
    bow = 4 * along * (1 - along) * (sag / np.hypot(top, bottom))
    return top * (1 - along) + bow * bottom, bottom * along + bow * top


def _likely(edges: Edges, slope: _Slope, along: Edges = ALONG) -> tuple[Edges, float]:
    """Return the mean of the edges with the largest fall in grey level, and its fall.

    Long edges at usual places are preferred. The mean is used because the best edge alone may be another one after the
    smallest change of the film.
    """
    height, width = slope.inside.shape
    odd = _oddness(edges, width, height)
    edges, usual = edges[odd < ODDEST], np.exp(-0.5 * odd[odd < ODDEST])
    if not len(edges):
        return np.zeros(3, np.float32), 0.0
    x, y = _trace(edges, along)
    # What is beyond the film to the right or below comes to lie on its last pixels, which are not inside.
    place = y.astype(np.int32).clip(0, height - 1) * width + x.astype(np.int32).clip(0, width - 1)
    on_muscle = slope.inside.take(place)
    top, bottom = edges[:, :1], edges[:, 1:2]
    length = np.hypot(top, bottom)
    fall = slope.across.take(place) * -(bottom / length) - slope.down.take(place) * (top / length)
    count = on_muscle.sum(axis=1)
    mean = np.vecdot(fall.clip(*FALL), on_muscle) / np.maximum(count, 1)
    score = mean * np.sqrt(count / along.size * length[:, 0]) * usual * (count > LEAST_INSIDE * along.size)
    best = float(score.max())
    if best <= 0:
        return np.zeros(3, np.float32), 0.0
    weight = np.exp((score / best - 1) / NEARLY)
    weight /= weight.sum()
    return np.asarray(weight @ edges, np.float32), float(weight @ mean)


def _oddness(edges: Edges, width: int, height: int) -> Edges:
    """Sum three squared distances of edges from the usual angle and place, in spreads."""
    top, bottom = edges[:, 0], edges[:, 1]
    angle = (np.degrees(np.arctan2(top, bottom)) - ANGLE[0]) / ANGLE[1]
    start, end = (top / width - TOP[0]) / TOP[1], (bottom / height - BOTTOM[0]) / BOTTOM[1]
    return np.asarray(angle**2 + start**2 + end**2, np.float32)
