"""Finds the breast on a film: everything that is brighter than the film's own background and hangs together.

Scanned films have no fixed background: its grey level differs between films and drifts across one, while the skin line
is only two or three grey levels brighter. So the background is measured twice, once for the whole film, which gives a
rough breast, and then around that breast as a local mean of what lies outside it. On digital films the background is
exactly 0, which on scanned ones is only the padding around the scanned strip.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import NotAMammogram

Grey: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]
Points: TypeAlias = npt.NDArray[np.int32]
Box: TypeAlias = tuple[int, int, int, int]
"""x, y, width and height, pixels."""

COARSE_EDGE = 128
"""Longest edge, in pixels, of the reduced film on which the background is measured. The outline is found between the
pixels of one of twice the size."""

FINE = 4
"""Times the coarse size is what a film is reduced to at first: halving from there is many times as fast as any other
reduction."""

ROUGH_CONTRAST = 0.045  # of the film's bright part's grey level above its background that is breast beyond doubt
CLEAN_CONTRAST = 0.03  # ... above a background that is exactly 0
FINE_CONTRAST = 0.013  # ... above the local background where the skin line is, on a film without noise
REACH = 6  # coarse pixels that the skin line may lie outside the rough breast
BACKGROUND_WINDOW = 21  # coarse pixels: wide enough to see past the skin
LIT = 0.5  # grey levels: less is padding
DARKER = 0.11  # of what is not 0 is darker than the background that was found there: then it was none, and 0 is it
STEEP = 127.5  # of an outline's 255 levels a grey level: it is drawn between pixels where the skin line is faint
DETACH = 5  # pixels: labels, tape and scratches narrower than twice this are not breast
SMOOTH = 1.5  # pixels: standard deviation of the outline's final smoothing
STRAIGHT = 1.5  # pixels that the chest wall may be off a straight line
AREA = (0.03, 0.95)  # of the frame, beyond which what was found is no breast


@dataclass(frozen=True, eq=False)
class Work:
    """A film reduced to twice the coarse size, and what was found on it: `grey` is smoothed, `breast` 1 inside and 0
    outside, `contour` (N x 1 x 2: x, y) its edge; `outline` (0..255) crosses 127.5 where the breast ends and can be
    enlarged without steps."""

    film: Grey
    grey: Floats
    breast: Grey
    contour: Points
    outline: Grey

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
    def wall(self) -> npt.NDArray[np.float64]:
        """The upper and the lower end (2 x 2: x, y) of the chest wall, if it is on the left: the longest straight and
        steep run there of the hull, or where it has none its leftmost and topmost place, twice."""
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
    def borders(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Every row that the breast takes up, and its first and its last column there."""
        _, top, _, height = cv2.boundingRect(self.contour)
        inside = self.breast[top : top + height]
        # flipped by OpenCV: the reversed view of NumPy takes twice as long to search
        first, after = (_u8(rows).view(np.bool_).argmax(axis=1) for rows in (inside, cv2.flip(inside, 1)))
        return np.arange(top, top + height), first, inside.shape[1] - 1 - after

    def mirrored(self) -> "Work":
        """With left and right exchanged."""
        last = np.array([self.breast.shape[1] - 1, 0], np.int32)
        contour = np.asarray(np.abs(last - self.contour), np.int32)
        film, breast, outline = (_u8(cv2.flip(part, 1)) for part in (self.film, self.breast, self.outline))
        return Work(film, np.asarray(cv2.flip(self.grey, 1), np.float32), breast, contour, outline)


def fine(pixels: Grey) -> Grey:
    """A film (H x W) of any size at so many times the coarse size."""
    height, width = pixels.shape
    scale = COARSE_EDGE / max(height, width)
    return _u8(_resized(pixels, (max(1, round(width * scale)), max(1, round(height * scale))), FINE))


def find_breast(reduced: Grey) -> Work:
    """Finds the breast, with the pectoral muscle, on a `fine` film (uint8).

    Raises NotAMammogram where nothing on the film has the contrast and the area of a breast.
    """
    size = reduced.shape[1] // FINE, reduced.shape[0] // FINE
    film = _u8(_resized(reduced, size, 2))
    exact = film.astype(np.float32)
    grey = np.asarray(cv2.GaussianBlur(exact, (5, 5), 0.7), np.float32)
    coarse = _resized(exact, size)
    threshold = cv2.resize(_skin_threshold(coarse), grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    cover = _u8(cv2.addWeighted(grey, STEEP, threshold, -STEEP, 127.5, dtype=cv2.CV_8U))
    core, _ = largest(_open(_u8(cover > 127), DETACH))
    # Opening has also taken the nipple off: what lies within the same reach of the core is given back.
    cover = _u8(cv2.max(cv2.copyTo(cover, grown(core, DETACH)), core * 255))
    outline = _u8(cv2.GaussianBlur(cover, (7, 7), SMOOTH))
    breast, contour = largest(_u8(outline > 127))
    area = cv2.countNonZero(breast) / breast.size
    if not AREA[0] <= area <= AREA[1]:
        raise NotAMammogram(f"no breast was found ({area:.0%} of the frame stands out); send one whole mammogram")
    return Work(film, grey, breast, contour, around(outline, breast))


def part_of_way(value: float, between: tuple[float, float]) -> float:
    """How far a value has come from the first to the second, 0 to 1."""
    return min(max((value - between[0]) / (between[1] - between[0]), 0.0), 1.0)


def around(outline: Grey, region: Grey) -> Grey:
    """What of an outline belongs to one region (0/1), with the pixels next to it: the edge lies between them."""
    return _u8(cv2.copyTo(outline, cv2.dilate(region, np.ones((3, 3), np.uint8))))


def enlarged(outline: Grey, shape: tuple[int, ...]) -> tuple[Grey, Box]:
    """The mask that an outline stands for (255 and 0, H x W as `shape` says), and its box."""
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


def _skin_threshold(film: Floats) -> Floats:
    """The grey level of the skin line everywhere on the coarse film; infinite where no breast can be."""
    grey = np.asarray(cv2.GaussianBlur(film, (5, 5), 0.8), np.float32)
    lit = film >= LIT
    values = grey[lit]
    level, bright = _levels(values)
    beyond_doubt = ROUGH_CONTRAST * bright
    if np.count_nonzero(values < level - beyond_doubt) > DARKER * values.size:
        return np.full_like(grey, CLEAN_CONTRAST * bright)
    certain = grey >= level + beyond_doubt
    rough, _ = largest(_open(certain.view(np.uint8), 2))
    # Padding is exactly 0 and would pull the mean down; a black film still has specks that tell it from padding.
    scanned = cv2.blur(lit.astype(np.float32), (3, 3)) > 0.1
    outside = scanned & ~certain & (grown(rough, 1) == 0)
    background = _local_mean(grey, outside, level)
    near = grown(rough, REACH) > 0
    noise = (grey - background)[outside & ~near]
    spread = float(np.sqrt(np.mean(noise**2))) if noise.size else 0.0
    return np.where(near, background + np.float32(FINE_CONTRAST * bright + min(spread, 2.5)), np.float32(1e6))


def _resized(film: npt.NDArray[Any], size: tuple[int, int], times: int = 1) -> npt.NDArray[Any]:
    """The film at so many times the coarse size (width, height)."""
    width, height = times * size[0], times * size[1]
    smaller = width < film.shape[1] or height < film.shape[0]
    return np.asarray(cv2.resize(film, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))


def _levels(values: Floats) -> tuple[int, float]:
    """The commonest grey level of a film's dark part and the mean of its bright part, padding aside.

    Otsu's threshold parts them. It may fall inside the breast; half of it does not.
    """
    if values.size == 0:
        raise NotAMammogram("the frame is blank; send one whole mammogram")
    counts = np.bincount(values.astype(np.uint8), minlength=256).astype(np.float64)
    dark_end = int(cv2.threshold(values.astype(np.uint8), 0, 255, cv2.THRESH_OTSU)[0])
    bright = values[values > dark_end]
    counts = counts[: max(2, dark_end // 2)]
    counts[0] = 0
    level = int(np.convolve(counts, [0.25, 0.5, 0.25], "same").argmax())
    return level, float(bright.mean()) if bright.size else 0.0


def _local_mean(grey: Floats, where: npt.NDArray[np.bool_], level: int) -> Floats:
    """The mean of `grey` over the pixels `where` within the window, leaning on `level` where there are few."""
    window = (BACKGROUND_WINDOW, BACKGROUND_WINDOW)
    weight = where.astype(np.float32)
    total = cv2.blur(grey * weight, window)
    return np.asarray((total + 0.02 * level) / (cv2.blur(weight, window) + 0.02), np.float32)


def _open(mask: Grey, radius: int) -> Grey:
    """Removes what is narrower than twice the radius."""
    return grown(_u8(cv2.erode(cv2.erode(mask, _SQUARE[radius]), _CROSS, iterations=_CROSSES[radius])), radius)


def grown(mask: Grey, radius: int) -> Grey:
    """Grown by an octagon: a small square and some crosses are several times as fast as a disc."""
    return _u8(cv2.dilate(cv2.dilate(mask, _SQUARE[radius]), _CROSS, iterations=_CROSSES[radius]))


_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_CROSSES = {radius: round(radius * (2 - 2**0.5)) for radius in (1, 2, DETACH, REACH)}
_SQUARE = {radius: np.ones((2 * (radius - crosses) + 1,) * 2, np.uint8) for radius, crosses in _CROSSES.items()}


def largest(mask: Grey, complaint: str = "nothing on the frame stands out from its background") -> tuple[Grey, Points]:
    """The largest connected region, without holes (0/1), and its contour. Raises NotAMammogram: there is none."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        raise NotAMammogram(f"{complaint}; send one whole mammogram")
    contour = max(contours, key=cv2.contourArea)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), [contour], -1, 1, cv2.FILLED)
    return _u8(filled), np.asarray(contour, np.int32)


def _u8(array: npt.NDArray[np.generic] | cv2.typing.MatLike) -> Grey:
    return np.asarray(array, np.uint8)
