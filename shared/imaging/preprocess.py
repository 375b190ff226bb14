"""Turn a film into a network's input, the same for training and inference."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shared.domain.arrays import Float32Array
from shared.errors import NotAMammogram
from shared.imaging.formats.decode import decode
from shared.imaging.image import Grey, Image, Pixels, unsigned
from shared.imaging.segmentation.breast import BoundingBox
from shared.imaging.segmentation.gate import Gate
from shared.imaging.segmentation.segment import SEGMENTATION_VERSION, Segmentation, segment

DARK, BRIGHT = 1.0, 99.5
"""Percentiles of the grey levels inside the mask that become 0 and 1: exposure differs from film to film."""

_LEAST_SPARE = 1.5
"""Times the input's edge that halving must leave: the resizing that follows still averages."""

_EVEN = 4  # the square's edge can be halved twice

LEAST_EDGE = 1024
"""Pixels of the shorter edge below which no film is decoded smaller: films of MIAS keep their size."""


class Preprocessing(BaseModel):
    """Parameters that a model was trained with, kept in its card and used by inference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(gt=0, description="edge of the square network input, pixels")
    segmentation: int = Field(default=SEGMENTATION_VERSION, description="version of the segmentation")

    @property
    def least_edge(self) -> int:
        """Pixels of the shorter edge that `decode` must keep.

        The breast takes up half of a film at least in one direction, so that the input is never enlarged; segmentation
        needs less (`breast.COARSE_EDGE`).
        """
        return max(LEAST_EDGE, 2 * self.size)


@dataclass(frozen=True, eq=False)
class PreparedFilm:
    """A film ready for the network.

    `input` is the network's (float32, 1 x size x size, 0..1); `bits` is the depth of the file's pixels; `gate` says how
    far the film looks like a mammogram.
    """

    input: Float32Array
    segmentation: Segmentation
    bits: int
    gate: Gate


def prepare(data: bytes, preprocessing: Preprocessing) -> PreparedFilm:
    """Decode and segment an image file, and make the network's input.

    Raises:
        ImageError: the file can't be decoded, or is not a mammogram.
    """
    return prepare_image(decode(data, preprocessing.least_edge), preprocessing)


def prepare_image(image: Image, preprocessing: Preprocessing) -> PreparedFilm:
    """Segment a decoded image, and make the network's input.

    Raises:
        NotAMammogram: no breast is found, or the gate refuses the image.
    """
    segmentation = segment(image.pixels, image.bits, image.view)
    gate = segmentation.gate
    if not gate.passed:
        raise NotAMammogram(gate.reason, gate_score=gate.score)
    part = _crop_of(segmentation.box)
    if segmentation.halved is not None and _can_spare_half(part.edge, preprocessing):
        network_view = _input_of(
            segmentation.halved, segmentation.drawn, part.halved(), preprocessing, segmentation.flipped
        )
    else:
        network_view = _input_of(segmentation.pixels, segmentation.mask, part, preprocessing, segmentation.flipped)
    return PreparedFilm(network_view, segmentation, image.bits, gate)


def network_input(film: Pixels, mask: Grey, preprocessing: Preprocessing) -> Float32Array:
    """Make the network's input (float32, 1 x size x size, 0..1) of a segmented film.

    The film (H x W) is oriented, and so is its mask (uint8). The mask's box is padded to a square, the chest wall
    staying at the left edge and the breast centred in height, and resized; grey levels are stretched between two
    percentiles of those inside the mask; outside it the input is 0. A film that is much larger than the input is halved
    first, which is faster than resizing it at once; pixels that the mask then covers whole are inside it.

    Raises:
        NotAMammogram: the mask is empty.
    """
    x, y, width, height = cv2.boundingRect(mask)
    if width == 0:
        raise NotAMammogram("the mask is empty", advice="segment the film first")
    return _input_of(film, mask, _crop_of((x, y, width, height)), preprocessing)


class _Crop(NamedTuple):
    """The square of an oriented film that the network sees, in pixels of the film.

    From the column `right` on it is empty.
    """

    left: int
    top: int
    right: int
    edge: int

    def halved(self) -> "_Crop":
        """Return the crop in pixels of the halved film."""
        return _Crop(*(value // 2 for value in self))


def _crop_of(box: BoundingBox) -> _Crop:
    """Return the crop of a mask's box, with lengths that can be halved twice."""
    x, y, width, height = box
    edge = -(-max(width, height) // _EVEN) * _EVEN
    return _Crop(x, y - 2 * ((edge - height) // 4), x + -(-width // _EVEN) * _EVEN, edge)


def input_square(box: BoundingBox) -> tuple[int, int, int]:
    """Return left, top and edge of the square that the network sees of a mask's box.

    All are in pixels of the oriented film; the box is x, y, width, height. The square may reach beyond the film; its
    edge is even, because it is halved.
    """
    left, top, _, edge = _crop_of(box)
    return left, top, edge


def _input_of(
    film: Pixels, mask: Grey, part: _Crop, preprocessing: Preprocessing, flipped: bool = False
) -> Float32Array:
    """Make the network's input of a part of a film, which may be `flipped`, and its mask."""
    edge, strip, covered = part.edge, _strip(film, part, flipped), _strip(mask, part)
    while _can_spare_half(edge, preprocessing) and edge % 2 == strip.shape[1] % 2 == 0:
        edge //= 2
        strip, covered = _halved(strip), _halved(covered)
    if flipped:
        strip = unsigned(cv2.flip(strip, 1))
    inside = (covered == covered.max()).view(np.uint8)  # where it is 255, unless a mask is but a line
    strip = unsigned(cv2.copyTo(strip, inside))
    dark, bright = _percentiles(strip, inside)
    # Worked out for the grey levels that there can be, not for each pixel. What is 0 stays 0.
    levels = ((np.arange(_levels(strip), dtype=np.float32) - dark) / max(bright - dark, 1.0)).clip(0, 1)
    square = unsigned(cv2.copyMakeBorder(strip, 0, 0, 0, edge - strip.shape[1], cv2.BORDER_CONSTANT, value=0))
    stretched = cv2.LUT(square, levels) if square.dtype == np.uint8 else levels[square]
    if len(stretched) > preprocessing.size:
        # To twice the size, which is near to what it has, and then by two and two: faster than by any number.
        stretched = cv2.resize(stretched, (2 * preprocessing.size,) * 2, interpolation=cv2.INTER_LINEAR)
    method = cv2.INTER_AREA if len(stretched) > preprocessing.size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(stretched, (preprocessing.size,) * 2, interpolation=method), np.float32)[None]


def _can_spare_half(edge: int, preprocessing: Preprocessing) -> bool:
    return edge // 2 >= _LEAST_SPARE * preprocessing.size


def _levels(film: Pixels) -> int:
    return 256 if film.dtype == np.uint8 else 65536


def _strip(pixels: Pixels, part: _Crop, flipped: bool = False) -> Pixels:
    """Return the columns of a part that are not empty, 0 beyond the film.

    They are those of the mirrored film where it is yet to be `flipped`.
    """
    height, width = pixels.shape
    above, below, beyond = max(0, -part.top), max(0, part.top + part.edge - height), max(0, part.right - width)
    columns = slice(max(0, width - part.right), width - part.left) if flipped else slice(part.left, part.right)
    strip = pixels[max(0, part.top) : part.top + part.edge, columns]
    if not (above or below or beyond):
        return strip
    left, right = (beyond, 0) if flipped else (0, beyond)
    return unsigned(cv2.copyMakeBorder(strip, above, below, left, right, cv2.BORDER_CONSTANT, value=0))


def _halved(strip: Pixels) -> Pixels:
    size = strip.shape[1] // 2, strip.shape[0] // 2
    return unsigned(cv2.resize(strip, size, interpolation=cv2.INTER_AREA))


def _percentiles(film: Pixels, inside: Grey) -> tuple[int, int]:
    """Return the grey levels at DARK and BRIGHT per cent of the film inside the mask.

    Large films are sampled: every second pixel of every second row.
    """
    levels = _levels(film)
    for step in (2, 1):  # the sample may miss a small mask
        sample, sampled_mask = unsigned(film[::step, ::step].copy()), inside[::step, ::step].copy()
        histogram = cv2.calcHist([sample], [0], sampled_mask, [levels], [0, levels]).ravel()
        if histogram.any():
            break
    share = histogram.cumsum(dtype=np.float64) / histogram.sum()
    dark, bright = np.searchsorted(share, [DARK / 100, BRIGHT / 100])
    return int(dark), int(bright)
