"""Finds the edge of the pectoral muscle: the brighter triangle between the top of a film and its chest wall.

On oblique views the muscle's edge is nearly straight and runs from the top of the breast down to the chest wall. As in
Karssemeijer 1998 ("Automated classification of parenchymal patterns in mammograms") a straight edge is searched first,
here by its mean fall in grey level over all lines instead of by a Hough transform, and then bent and moved a little.
"""

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Grey: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float64]
Edges: TypeAlias = npt.NDArray[np.float32]
"""K x 3: where an edge meets the top and the chest wall, and by how much it is bowed outwards."""

SCALE = 0.5  # of the upright film to the reduced film
SAMPLES = 32  # points at which an edge is measured
SKIN = 8  # pixels of the upright film next to the skin whose steep fall in grey level says nothing of the muscle
SEEN = 0.35  # of an edge must lie inside the breast
MIN_FALL = 0.0105  # of the mean grey level of the breast, a pixel, mean along the edge: less is no muscle
RETREAT = 0.95  # of the way to the edge is cut: muscle that stays does less harm than a lesion that goes
ANGLE = (26.0, 9.0)  # mean and spread of the edge's angle to the chest wall, degrees
TOP = (0.45, 0.45)  # ... of its start along the top, in widths of the breast
BOTTOM = (0.47, 0.4)  # ... of its end along the chest wall, in heights of the breast


def _grid(top: Floats, bottom: Floats, sag: Floats) -> Edges:
    """All edges (K x 3) from (top, 0) to (0, bottom), bowed outwards by `sag`."""
    return np.stack([axis.ravel() for axis in np.meshgrid(top, bottom, sag)], axis=1).astype(np.float32)


COARSE = _grid(np.arange(0.12, 1.3, 0.05), np.arange(0.15, 0.9, 0.04), np.zeros(1))
"""The straight edges that are tried, in widths and heights of the breast."""
NEAR = _grid(np.linspace(-0.036, 0.036, 5), np.linspace(-0.036, 0.036, 5), np.linspace(-0.05, 0.05, 9))
"""What is added to the best of them: widths and heights of the breast, and lengths of the edge."""
ALONG = np.linspace(0, 1, SAMPLES, dtype=np.float32)[None]


def find_pectoral(grey: Grey, breast: Grey) -> npt.NDArray[np.float32]:
    """The outline of the pectoral muscle, points x, y (float32, N x 2) in pixels of `grey`; N is 0 where there is none.

    `grey` (uint8, H x W) is a smoothed film with its chest wall on the left, `breast` (uint8, 0/1) its breast. The film
    may be tilted: the search follows the chest wall.
    """
    upright, size = _upright(breast)
    film = cv2.warpAffine(grey, upright, size, flags=cv2.INTER_LINEAR).astype(np.float32)
    inside = _away_from_skin(cv2.warpAffine(breast, upright, size, flags=cv2.INTER_NEAREST))
    smooth = cv2.GaussianBlur(film, (0, 0), 2.0)
    slope = (cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8)

    width, height = size
    straight, _ = _best(COARSE * np.array([width, height, 0], np.float32), slope, inside)
    length = np.hypot(straight[0], straight[1])
    edge, fall = _best(straight + NEAR * np.array([width, height, length], np.float32), slope, inside)
    if fall < MIN_FALL * cv2.mean(grey, breast)[0]:
        return np.zeros((0, 2), np.float32)

    edge = edge * RETREAT
    x, y = (points[0] for points in _trace(edge[None]))
    # Close the outline well outside the breast, the edge prolonged above the top.
    above = np.array([x[0] + 0.5 * edge[0], y[0] - 0.5 * edge[1]])
    outline = np.stack([np.r_[above[0], x, -0.5 * width, -0.5 * width], np.r_[above[1], y, y[-1], above[1]]], axis=1)
    back = cv2.invertAffineTransform(upright)
    return np.asarray(outline @ back[:, :2].T + back[:, 2], np.float32)


def _upright(breast: Grey) -> tuple[Floats, tuple[int, int]]:
    """The affine map (2 x 3) that turns the chest wall vertical, x = 0, and the breast's top to y = 0, and its size.

    The chest wall is the longest straight run on the left of the breast's convex hull.
    """
    contours, _ = cv2.findContours(breast, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.approxPolyDP(cv2.convexHull(max(contours, key=cv2.contourArea)), 3, True)[:, 0].astype(np.float64)
    start, along, longest = hull.min(axis=0), np.array([0.0, 1.0]), 0.0
    for a, b in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        upper, lower = (a, b) if a[1] <= b[1] else (b, a)
        run = lower - upper
        length = float(np.hypot(*run))
        steep = abs(run[0]) <= run[1]
        if steep and length > longest and (upper[0] + lower[0]) / 2 < hull[:, 0].mean():
            start, along, longest = upper, run / length, length
    turn = np.array([[along[1], -along[0]], along]) * SCALE
    corners = (hull - start) @ turn.T
    offset = np.array([0.0, corners[:, 1].min()])
    width, height = np.ceil(corners.max(axis=0) - offset).astype(int) + 1
    return np.hstack([turn, (-turn @ start - offset)[:, None]]), (max(int(width), 8), max(int(height), 8))


def _away_from_skin(breast: cv2.typing.MatLike) -> npt.NDArray[np.bool_]:
    """Erodes the breast, but not from the frame's sides: the chest wall and the top are no skin."""
    padded = cv2.copyMakeBorder(breast, SKIN, SKIN, SKIN, SKIN, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[SKIN:-SKIN, SKIN:-SKIN] > SKIN)


def _trace(edges: Edges) -> tuple[Edges, Edges]:
    """The points x, y (float32, K x SAMPLES) of edges."""
    top, bottom, sag = (column[:, None] for column in edges.T)
    bow = 4 * ALONG * (1 - ALONG) * (sag / np.hypot(top, bottom))
    return top * (1 - ALONG) + bow * bottom, bottom * ALONG + bow * top


def _best(edges: Edges, slope: tuple[cv2.typing.MatLike, ...], inside: npt.NDArray[np.bool_]) -> tuple[Edges, float]:
    """The edge across which the grey level falls most, long and usually placed edges preferred, and its mean fall."""
    height, width = inside.shape
    x, y = _trace(edges)
    column, row = x.astype(np.int32), y.astype(np.int32)
    seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row.clip(0, height - 1) * width + column.clip(0, width - 1)
    seen &= inside.ravel()[place]
    top, bottom = edges[:, 0], edges[:, 1]
    length = np.hypot(top, bottom)
    across, down = (np.asarray(each).ravel()[place] for each in slope)
    fall = across * -(bottom / length)[:, None] - down * (top / length)[:, None]
    # Clipped, so that one bright spot does not make an edge.
    count = seen.sum(axis=1)
    mean = (fall.clip(-3, 4) * seen).sum(axis=1) / np.maximum(count, 1)
    angle = np.degrees(np.arctan2(top, bottom))
    odd = sum(
        ((value - usual) / spread) ** 2
        for value, (usual, spread) in ((angle, ANGLE), (top / width, TOP), (bottom / height, BOTTOM))
    )
    score = mean * np.sqrt(count / SAMPLES * length) * np.exp(-0.5 * odd) * (count > SEEN * SAMPLES)
    best = int(score.argmax())
    return edges[best], float(mean[best]) if score[best] > 0 else 0.0
