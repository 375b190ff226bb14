"""Find the breast, including the pectoral muscle: the region above the skin line."""

import math
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32Array, Float64Array
from shared.errors import NotAMammogram
from shared.imaging.image import Grey
from shared.imaging.segmentation.film_border import without_bars
from shared.imaging.segmentation.regions import Points, Rows, around, borders, grown, largest, opened, u8
from shared.imaging.segmentation.skin_line import skin_line

BoundingBox: TypeAlias = tuple[int, int, int, int]
"""x, y, width and height, pixels."""

COARSE_EDGE = 128
"""Longest edge, in pixels, of the reduced film on which the background is measured. The outline is found between the
pixels of one of twice the size."""

FINE = 4
"""Times the coarse size is what a film is reduced to at first: halving from there is many times as fast as any other
reduction."""

STEEP = 127.5  # of an outline's 255 levels a grey level: it is drawn between pixels where the skin line is faint
DETACH = 5  # pixels: labels, tape and scratches narrower than twice this are not breast
SMOOTH = 1.5  # pixels: standard deviation of the outline's final smoothing
STRAIGHT = 1.5  # pixels that the chest wall may be off a straight line
AREA = (0.03, 0.95)  # of the frame, beyond which what was found is no breast


@dataclass(frozen=True, eq=False)
class ReducedFilm:
    """A film reduced to twice the coarse size, and the breast on it.

    `grey` is smoothed, `breast` 1 inside and 0 outside, `contour` (N x 1 x 2: x, y) its edge; `outline` (0..255)
    crosses 127.5 where the breast ends and can be enlarged without steps; `stepped` says that the breast begins with a
    step, as on digital films.
    """

    film: Grey
    grey: Float32Array
    breast: Grey
    contour: Points
    outline: Grey
    stepped: bool

    @cached_property
    def level(self) -> float:
        """The mean grey level of the breast."""
        x, y, width, height = cv2.boundingRect(self.contour)
        box = slice(y, y + height), slice(x, x + width)
        return float(cv2.mean(self.grey[box], self.breast[box])[0])

    @cached_property
    def hull(self) -> Points:
        """The convex hull of the contour."""
        return np.asarray(cv2.convexHull(self.contour), np.int32)

    @cached_property
    def wall(self) -> Float64Array:
        """The upper and the lower end (2 x 2: x, y) of a chest wall on the left.

        It is the longest straight and steep run of the hull there, or else the hull's leftmost and topmost place twice.
        """
        corners = cv2.approxPolyDP(self.hull, STRAIGHT, closed=True)[:, 0].tolist()
        middle = sum(x for x, _ in corners) / len(corners)
        # In plain Python, since it is but some corners: NumPy takes several times as long.
        runs = [
            (math.dist(start, end), start, end)
            for start, end in zip(corners, corners[1:] + corners[:1], strict=True)
            if abs(end[0] - start[0]) <= abs(end[1] - start[1]) and (start[0] + end[0]) / 2 < middle
        ]
        if not runs:
            return np.array(2 * [[min(x for x, _ in corners), min(y for _, y in corners)]], np.float64)
        _, start, end = max(runs, key=itemgetter(0))
        return np.array(sorted((start, end), key=itemgetter(1)), np.float64)

    @cached_property
    def borders(self) -> Rows:
        """Every row that the breast takes up, and its first and its last column there."""
        return borders(self.breast, self.contour)

    def mirrored(self) -> "ReducedFilm":
        """With left and right exchanged."""
        last = np.array([self.breast.shape[1] - 1, 0], np.int32)
        contour = np.asarray(np.abs(last - self.contour), np.int32)
        film, breast, outline = (u8(cv2.flip(part, 1)) for part in (self.film, self.breast, self.outline))
        return ReducedFilm(film, np.asarray(cv2.flip(self.grey, 1), np.float32), breast, contour, outline, self.stepped)


def fine(pixels: Grey) -> Grey:
    """Resize a film (H x W) to the working size."""
    height, width = pixels.shape
    scale = COARSE_EDGE / max(height, width)
    return u8(_resized(pixels, (max(1, round(width * scale)), max(1, round(height * scale))), FINE))


def find_breast(fine_film: Grey) -> ReducedFilm:
    """Find the breast, including the pectoral muscle, on a `fine` film (uint8).

    Raises:
        NotAMammogram: nothing on the film has the contrast and the area of a breast.
    """
    size = fine_film.shape[1] // FINE, fine_film.shape[0] // FINE
    film = without_bars(u8(_resized(fine_film, size, 2)))
    exact = film.astype(np.float32)
    grey = np.asarray(cv2.GaussianBlur(exact, (5, 5), 0.7), np.float32)
    skin = skin_line(film, grey, _resized(exact, size))
    cover = u8(cv2.addWeighted(grey, STEEP, skin.level, -STEEP, 127.5, dtype=cv2.CV_8U))
    core, _ = largest(opened(u8(cover > 127), DETACH))
    # Opening has also taken the nipple off: what lies within the same reach of the core is given back.
    cover = u8(cv2.max(cv2.copyTo(cover, grown(core, DETACH)), core * 255))
    outline = u8(cv2.GaussianBlur(cover, (7, 7), SMOOTH))
    breast, contour = largest(u8(outline > 127))
    area = cv2.countNonZero(breast) / breast.size
    if not AREA[0] <= area <= AREA[1]:
        raise NotAMammogram(f"no breast was found ({area:.0%} of the image is bright)")
    return ReducedFilm(film, grey, breast, contour, around(outline, breast), skin.stepped)


def enlarged(outline: Grey, shape: tuple[int, ...]) -> tuple[Grey, BoundingBox]:
    """Return the mask of an outline (255 and 0, H x W as in `shape`), and its box."""
    mask = np.zeros(shape, np.uint8)
    left, top, part = 0, 0, mask
    times = shape[0] // outline.shape[0]
    if shape == (times * outline.shape[0], times * outline.shape[1]):
        # Only around what is not 0, which gives the same pixels.
        x, y, width, height = cv2.boundingRect(outline)
        left, top = max(0, x - 1), max(0, y - 1)
        outline = outline[top : y + height + 1, left : x + width + 1]
        left, top = times * left, times * top
        part = mask[top : top + times * outline.shape[0], left : left + times * outline.shape[1]]
    large = cv2.resize(outline, part.shape[::-1], interpolation=cv2.INTER_LINEAR)
    cv2.threshold(large, 127, 255, cv2.THRESH_BINARY, dst=part)
    x, y, width, height = cv2.boundingRect(part)
    return mask, (left + x, top + y, width, height)


def _resized(film: npt.NDArray[Any], size: tuple[int, int], times: int = 1) -> npt.NDArray[Any]:
    """Resize the film to so many times the coarse size (width, height)."""
    width, height = times * size[0], times * size[1]
    smaller = width < film.shape[1] or height < film.shape[0]
    return np.asarray(cv2.resize(film, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))
