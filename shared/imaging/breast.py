"""Finds the breast on a film: everything that is brighter than the film's own background and hangs together.

Scanned films have no fixed background: its grey level differs between films and drifts across one, while the skin line
is only two or three grey levels brighter. So the background is measured twice, once for the whole film, which gives a
rough breast, and then around that breast as a local mean of what lies outside it. On digital films the background is
exactly 0, which on scanned ones is only the padding around the scanned strip.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import NotAMammogram

Grey: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

WORK_EDGE = 512
"""Longest edge, in pixels, of the reduced film on which the outline is found."""

MASK_EDGE = 256
"""... of the mask that is opened, grown and smoothed; a pixel of it knows how much of it is above the skin line."""

COARSE_EDGE = 128
"""... of the film on which the background is measured."""

ROUGH_CONTRAST = 6  # grey levels above the film's background that are breast beyond doubt
FINE_CONTRAST = 1.5  # grey levels above the local background where the skin line is, on a film without noise
REACH = 6  # coarse pixels that the skin line may lie outside the rough breast
BACKGROUND_WINDOW = 21  # coarse pixels: wide enough to see past the skin
DARKER = 0.11  # of what is not 0 is darker than the background that was found there: then it was none, and 0 is it
DETACH = 5  # mask pixels: labels, tape and scratches narrower than twice this are not breast
SMOOTH = 1.5  # mask pixels: standard deviation of the outline's final smoothing
AREA = (0.03, 0.95)  # of the frame, beyond which what was found is no breast


@dataclass(frozen=True, eq=False)
class Work:
    """A film reduced to WORK_EDGE: `film` as it is, `grey` smoothed, `breast` 1 inside; `outline` (MASK_EDGE, 0..255)
    crosses 127.5 where the breast ends and can be enlarged without steps."""

    film: Grey
    grey: Grey
    breast: Grey
    outline: Grey


def find_breast(pixels: Grey) -> Work:
    """Finds the breast, with the pectoral muscle, on a film (uint8, H x W).

    Raises NotAMammogram where nothing on the film has the contrast and the area of a breast.
    """
    film = _reduce(pixels, WORK_EDGE)
    grey = _blurred(film, 1.5)
    threshold = _skin_threshold(_reduce(film, COARSE_EDGE))
    above = cv2.compare(grey, cv2.resize(threshold, grey.shape[::-1], interpolation=cv2.INTER_LINEAR), cv2.CMP_GE)
    cover = _reduce(_u8(above), MASK_EDGE)
    core = _largest(_open(_u8(cover > 127), DETACH))
    # Opening has also taken the nipple off: what lies within the same reach of the core is given back.
    cover = _u8(cv2.max(cv2.copyTo(cover, _grow(core, DETACH)), core * 255))
    outline = _u8(cv2.GaussianBlur(cover, (0, 0), SMOOTH))
    breast = _largest(_u8(outline > 127))
    area = float(breast.mean())
    if not AREA[0] <= area <= AREA[1]:
        raise NotAMammogram(f"no breast was found ({area:.0%} of the frame stands out); send one whole mammogram")
    outline = _u8(cv2.copyTo(outline, breast))
    return Work(film, _u8(grey), enlarged(outline, film.shape, 1), outline)


def enlarged(outline: Grey, shape: tuple[int, ...], inside: int) -> Grey:
    """The mask that an outline stands for: `inside` and 0, H x W as `shape` says."""
    large = cv2.resize(outline, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return _u8(cv2.threshold(large, 127, inside, cv2.THRESH_BINARY)[1])


def _skin_threshold(film: Grey) -> Floats:
    """The grey level of the skin line everywhere on the coarse film; infinite where no breast can be."""
    grey = _blurred(film, 0.8)
    level = _background_level(grey, film)
    if float((grey[film > 0] < level - ROUGH_CONTRAST).mean()) > DARKER:
        return np.full_like(grey, ROUGH_CONTRAST)
    certain = grey >= level + ROUGH_CONTRAST
    rough = _largest(_open(_u8(certain), 2))
    # Padding is exactly 0 and would pull the mean down; a black film still has specks that tell it from padding.
    scanned = cv2.blur((film > 0).astype(np.float32), (3, 3)) > 0.1
    outside = scanned & ~certain & (_grow(rough, 1) == 0)
    background = _local_mean(grey, outside, level)
    near = _grow(rough, REACH) > 0
    noise = (grey - background)[outside & ~near]
    spread = float(np.sqrt(np.mean(noise**2))) if noise.size else 0.0
    return np.where(near, background + FINE_CONTRAST + min(spread, 2.5), np.float32(1e6)).astype(np.float32)


def borders(breast: Grey, step: int = 1) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Every `step`-th row that the breast (0/1, one region) takes up, and its first and its last column there."""
    _, top, _, height = cv2.boundingRect(breast)
    rows = np.arange(top, top + height, step)
    inside = breast[rows]
    return rows, inside.argmax(axis=1), breast.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)


def _reduce(pixels: Grey, edge: int) -> Grey:
    """The film resized so that its longest edge is `edge` pixels."""
    height, width = pixels.shape
    scale = edge / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return _u8(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))


def _blurred(film: Grey, sigma: float) -> Floats:
    """Smoothed in floating point: the skin line is less than one grey level a pixel."""
    edge = 2 * math.ceil(2.5 * sigma) + 1
    return np.asarray(cv2.GaussianBlur(film.astype(np.float32), (edge, edge), sigma), np.float32)


def _background_level(grey: Floats, film: Grey) -> int:
    """The commonest grey level of the film's dark part, padding aside.

    Otsu's threshold may fall inside the breast; half of it does not.
    """
    values = grey[film > 0].astype(np.uint8)
    if values.size == 0:
        raise NotAMammogram("the frame is blank; send one whole mammogram")
    dark_end, _ = cv2.threshold(values, 0, 255, cv2.THRESH_OTSU)
    counts = np.bincount(values, minlength=256)[: max(2, int(dark_end) // 2)].astype(np.float64)
    counts[0] = 0
    return int(np.convolve(counts, [0.25, 0.5, 0.25], "same").argmax())


def _local_mean(grey: Floats, where: npt.NDArray[np.bool_], level: int) -> Floats:
    """The mean of `grey` over the pixels `where` within the window, leaning on `level` where there are few."""
    window = (BACKGROUND_WINDOW, BACKGROUND_WINDOW)
    weight = where.astype(np.float32)
    total = cv2.blur(grey * weight, window)
    return np.asarray((total + 0.02 * level) / (cv2.blur(weight, window) + 0.02), np.float32)


def _open(mask: Grey, radius: int) -> Grey:
    """Removes what is narrower than twice the radius."""
    return _u8(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(radius)))


def _grow(mask: Grey, radius: int) -> Grey:
    return _u8(cv2.dilate(mask, _disc(radius)))


def _disc(radius: int) -> Grey:
    return _u8(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))


def _largest(mask: Grey) -> Grey:
    """The largest connected region, without holes (0/1)."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        raise NotAMammogram("nothing on the frame stands out from its background; send one whole mammogram")
    filled = np.zeros(mask.shape, np.uint8)
    return _u8(cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED))


def _u8(array: npt.NDArray[np.generic] | cv2.typing.MatLike) -> Grey:
    return np.asarray(array, np.uint8)
