"""Turn a breast upright: the chest wall vertical at x = 0, the top of the breast at y = 0."""

from dataclasses import dataclass

import cv2
import numpy as np

from shared.domain.arrays import Float32Array, Float64Array
from shared.imaging.image import Grey
from shared.imaging.segmentation.breast import ReducedFilm
from shared.imaging.segmentation.regions import Points, u8


@dataclass(frozen=True, eq=False)
class Upright:
    """A breast whose chest wall was on the left, perhaps tilted, cropped to its hull.

    `grey` (float32) and `breast` (uint8, 0 and 1) are H x W; `back` (float64, 2 x 3) is the affine map from their
    pixels to those of the film; `level` is the mean grey level of the breast.
    """

    grey: Float32Array
    breast: Grey
    back: Float64Array
    level: float

    def on_film(self, points: Float64Array) -> Float32Array:
        """Return points (N x 2: x, y) in the pixels of the film."""
        return np.asarray(points @ self.back[:, :2].T + self.back[:, 2], np.float32)


def upright(reduced: ReducedFilm) -> Upright:
    """Turn a film that has its chest wall on the left."""
    matrix, size = _map(reduced.hull, reduced.wall)
    grey = cv2.warpAffine(reduced.grey, matrix, size, flags=cv2.INTER_LINEAR)
    breast = cv2.warpAffine(reduced.breast, matrix, size, flags=cv2.INTER_NEAREST)
    back = np.asarray(cv2.invertAffineTransform(matrix), np.float64)
    return Upright(np.asarray(grey, np.float32), u8(breast), back, reduced.level)


def _map(hull: Points, wall: Float64Array) -> tuple[Float64Array, tuple[int, int]]:
    """Return the affine map (2 x 3) from the film, and the size (width, height) of what comes out of it."""
    start, end = wall
    length = float(np.hypot(*(end - start)))
    along = (end - start) / length if length else np.array([0.0, 1.0])
    turn = np.array([[along[1], -along[0]], along])
    corners = (hull[:, 0] - start) @ turn.T
    offset = np.array([0.0, corners[:, 1].min()])
    width, height = np.ceil(corners.max(axis=0) - offset).astype(int) + 1
    return np.hstack([turn, (-turn @ start - offset)[:, None]]), (max(int(width), 8), max(int(height), 8))
