"""Find the grey level of the skin line, between breast and background.

There are two kinds of background. On digital films it is exactly 0 and the breast begins with a step, so the edge is
where half of the breast's own level is reached. On film scans the background's level differs between films and drifts
across one, while the skin line is only two or three grey levels brighter; exact 0 is there only the padding around the
scanned strip, or what was cleaned. The background of a scan is measured twice: once for the whole film, which gives a
rough breast, and then around that breast as a local mean of what lies outside it.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32Array
from shared.errors import NotAMammogram
from shared.imaging.image import Grey
from shared.imaging.segmentation.regions import borders, grown, largest, opened, part_of_way, straight_shares, u8

_LIT = 2.0  # grey levels above a digital background: less is what compression and resizing leave of it
_STRAIGHT = 0.5  # share of straight rows from which a side of what is lit is a cut and no skin
_BEHIND, _DEEPER = (2, 3), (10, 12)  # pixels inside the outline between which a digital film hardly brightens:
_STEP = (25, 0.3)  # ... at this percentile of places behind the outline, so much of the deeper level is reached
_MIXED = 2.5  # medians between the quartiles of levels inside the outline of a scanned strip: background and breast
_NEAR = (15, 15)  # pixels: window in which the breast's own level at its edge is measured
_EDGE = 0.3  # of that level is the edge: less than half, for the window reaches deep, where the breast is brighter
_CONSTANT = (0.05, 0.02)  # of a frame has the value of a digital background at least, and is darker at most
_BRIGHTEST = 0.02  # of what is lit is brighter than the bright level
_FAINT = (0.03, 3.0)  # of the bright level is faint; so many times the root of what is lit is at most: scans fade

_ROUGH = 0.045  # of the film's bright part's grey level above its background that is breast beyond doubt
_CLEAN = 0.03  # ... above a background that is exactly 0
_FINE = 0.013  # ... above the local background where the skin line is, on a film without noise
_SCATTERED = 0.06  # ... on a film that shows all of its background, where light scatters far around the breast
_SCATTER = (1.03, 1.06)  # times as large the breast is by the first as by the second, for none and all of the scatter
_UNPADDED = 0.02  # of such a frame is 0 at most
_REACH = 6  # coarse pixels that the skin line may lie outside the rough breast
_WINDOW = (21, 21)  # coarse pixels: wide enough to see past the skin
_PADDING = 0.5  # grey levels: less is padding
_DARKER = 0.11  # of what is not 0 is darker than the background that was found there: then it was none, and 0 is it
_MOST_NOISE = 2.5  # grey levels of noise that raise the skin line


@dataclass(frozen=True, eq=False)
class SkinLine:
    """The skin line's grey level at every pixel (float32, H x W).

    It is very high where no breast can be.
    `stepped` says that the breast begins with a step in a constant background, as on digital films.
    """

    level: Float32Array
    stepped: bool


def skin_line(film: Grey, grey: Float32Array, coarse: Float32Array) -> SkinLine:
    """Find the skin line of a film (H x W), from it smoothed and at half the size.

    Raises:
        NotAMammogram: the frame is blank, or nothing stands out.
    """
    stepped = _stepped(film, grey)
    if stepped is not None:
        return SkinLine(stepped, stepped=True)
    level = cv2.resize(_scanned(coarse), grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return SkinLine(np.asarray(level, np.float32), stepped=False)


def _stepped(film: Grey, grey: Float32Array) -> Float32Array | None:
    """Return the level of the edge of a breast on a constant background, else None."""
    background = _constant_background(film)
    if background is None:
        return None
    breast, contour = largest(opened(u8(grey > background + _LIT), 2))
    # A strip or a whole frame of film is cut off straight on both sides, a breast only at its chest wall.
    straight = straight_shares(borders(breast, contour), film.shape[1])
    if min(straight) > _STRAIGHT or not _begins_with_a_step(grey - background, breast):
        return None
    inside = breast.astype(np.float32)
    level = cv2.blur((grey - background) * inside, _NEAR) / np.maximum(cv2.blur(inside, _NEAR), 1e-3)
    return np.maximum(_EDGE * level, _LIT).astype(np.float32) + background


def _constant_background(film: Grey) -> int | None:
    """Return the grey level of a constant background, else None.

    Much of the frame has it, hardly any pixel is below, and few are just above.
    """
    counts = cv2.calcHist([film], [0], None, [256], [0, 256]).ravel()
    level = int(counts.argmax())
    sums = counts.cumsum()
    lit = film.size - float(sums[min(level + int(_LIT), 255)])
    bright = int(np.searchsorted(sums, film.size - _BRIGHTEST * lit)) - level
    faint = float(sums[min(level + max(2 * int(_LIT), round(_FAINT[0] * bright)), 255)]) - (film.size - lit)
    darker = float(sums[level] - counts[level])
    constant = counts[level] >= _CONSTANT[0] * film.size and darker <= _CONSTANT[1] * film.size
    return level if constant and lit and faint <= _FAINT[1] * math.sqrt(lit) else None


def _begins_with_a_step(grey: Float32Array, breast: Grey) -> bool:
    """Compare the level right behind the outline with that deeper inside.

    The frame's edges are no outline. A low percentile is compared, because a chest wall that ends inside the frame is a
    step on film scans as well. So is the edge of a turned strip of film, but inside of it lie the film's background and
    the breast.
    """
    margin = _DEEPER[1] + 1
    framed = cv2.copyMakeBorder(breast, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 3)[margin:-margin, margin:-margin]
    behind, deeper, rim = (
        grey[(depth > low) & (depth <= high)] for low, high in (_BEHIND, _DEEPER, (_BEHIND[0], _DEEPER[1]))
    )
    if not behind.size or not deeper.size:
        return False
    low, middle, high = np.percentile(rim, (25, 50, 75))
    percentile, share = _STEP
    steps = np.percentile(behind, percentile) >= share * max(float(np.median(deeper)), 1.0)
    return bool(steps and high - low <= _MIXED * middle)


def _scanned(film: Float32Array) -> Float32Array:
    """Return the skin line's grey level on the coarse film, very high beyond reach."""
    grey = np.asarray(cv2.GaussianBlur(film, (5, 5), 0.8), np.float32)
    lit = film >= _PADDING
    values = grey[lit]
    level, bright = _levels(values)
    beyond_doubt = _ROUGH * bright
    if np.count_nonzero(values < level - beyond_doubt) > _DARKER * values.size:
        return np.full_like(grey, _CLEAN * bright)
    certain = grey >= level + beyond_doubt
    rough, _ = largest(opened(certain.view(np.uint8), 2))
    # Padding is exactly 0 and would pull the mean down; a black film still has specks that tell it from padding.
    scanned = cv2.blur(lit.astype(np.float32), (3, 3)) > 0.1
    outside = scanned & ~certain & (grown(rough, 1) == 0)
    background = _local_mean(grey, outside, level)
    near = grown(rough, _REACH) > 0
    noise = (grey - background)[outside & ~near]
    spread = float(np.sqrt(np.mean(noise**2))) if noise.size else 0.0
    background += min(spread, _MOST_NOISE)
    contrast = _FINE
    if np.count_nonzero(scanned) >= (1 - _UNPADDED) * grey.size:
        above = (grey - background)[near]
        widest, narrowest = (int(np.count_nonzero(above > share * bright)) for share in (_FINE, _SCATTERED))
        contrast += part_of_way(widest / max(narrowest, 1), _SCATTER) * (_SCATTERED - _FINE)
    return np.where(near, background + np.float32(contrast * bright), np.float32(1e6))


def _levels(values: Float32Array) -> tuple[int, float]:
    """Return the mode of a film's dark part and the mean of its bright part.

    Padding is left out. Otsu's threshold parts them. It may fall inside the breast; half of it does not.
    """
    if values.size == 0:
        raise NotAMammogram("the frame is blank")
    counts = np.bincount(values.astype(np.uint8), minlength=256).astype(np.float64)
    dark_end = int(cv2.threshold(values.astype(np.uint8), 0, 255, cv2.THRESH_OTSU)[0])
    bright = values[values > dark_end]
    counts = counts[: max(2, dark_end // 2)]
    counts[0] = 0
    level = int(np.convolve(counts, [0.25, 0.5, 0.25], "same").argmax())
    return level, float(bright.mean()) if bright.size else 0.0


def _local_mean(grey: Float32Array, where: npt.NDArray[np.bool_], level: int) -> Float32Array:
    """Return the windowed mean of `grey` over `where`, near `level` where that is sparse."""
    weight = where.astype(np.float32)
    total = cv2.blur(grey * weight, _WINDOW)
    return np.asarray((total + 0.02 * level) / (cv2.blur(weight, _WINDOW) + 0.02), np.float32)
