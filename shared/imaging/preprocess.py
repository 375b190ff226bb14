"""The one way from a film to a network's input: training and inference both go through `network_input`."""

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from shared.errors import NotAMammogram
from shared.imaging.decode import decode
from shared.imaging.gate import Gate
from shared.imaging.image import Image, Pixels, unsigned
from shared.imaging.segment import SEGMENTATION_VERSION, Segmentation, segment

DARK, BRIGHT = 1.0, 99.5
"""Percentiles of the grey levels inside the mask that become 0 and 1: exposure differs from film to film."""

_LEAST_SPARE = 1.5
"""Times the input's edge that is left when a film has been halved: the resizing that follows still averages."""

_EVEN = 4  # the square's edge can be halved twice

_Grey: TypeAlias = npt.NDArray[np.uint8]
_Box: TypeAlias = tuple[int, int, int, int]

LEAST_EDGE = 1024
"""A film is not decoded smaller than that, along its shorter edge: one of MIAS is worked on as it is."""


class Preprocessing(BaseModel):
    """What a model was trained with. It travels in the model's card, and inference repeats it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(gt=0, description="edge of the square network input, pixels")
    segmentation: int = Field(default=SEGMENTATION_VERSION, description="version of the segmentation")

    @property
    def least_edge(self) -> int:
        """What `decode` may make of the shorter edge. The breast takes up half of a film at least in one direction, so
        that the input is never enlarged; segmentation needs less (`breast.WORK_EDGE`)."""
        return max(LEAST_EDGE, 2 * self.size)


@dataclass(frozen=True, eq=False)
class Prepared:
    """`input` (float32, 1 x size x size, 0..1) is what the network sees; `bits` the depth of the file's pixels;
    `gate` says how far the film looks like a mammogram."""

    input: npt.NDArray[np.float32]
    segmentation: Segmentation
    bits: int
    gate: Gate


def prepare(data: bytes, preprocessing: Preprocessing) -> Prepared:
    """From an image file to the network's input. Raises ImageError."""
    return prepare_image(decode(data, preprocessing.least_edge), preprocessing)


def prepare_image(image: Image, preprocessing: Preprocessing) -> Prepared:
    """From a decoded image to the network's input. Raises NotAMammogram: no breast is found, or the gate says no."""
    segmentation = segment(image.pixels, image.bits)
    gate = segmentation.gate
    if not gate.passed:
        raise NotAMammogram(f"{gate.reason}; send one whole mammogram", gate.score)
    seen = network_input(segmentation.oriented, segmentation.mask, preprocessing, segmentation.box)
    return Prepared(seen, segmentation, image.bits, gate)


def network_input(
    film: Pixels, mask: _Grey, preprocessing: Preprocessing, box: _Box | None = None
) -> npt.NDArray[np.float32]:
    """The network's input (float32, 1 x size x size, 0..1) of a film (H x W, oriented) and its mask (uint8).

    The mask's box (x, y, width, height; found where it is not given) is padded to a square, the chest wall staying at
    the left edge and the breast centred in height, and resized; grey levels are stretched between two percentiles of
    those inside the mask; outside it the input is 0. A film that is much larger than the input is halved first, which
    is many times as fast as all the rest.
    Raises NotAMammogram when the mask is empty.
    """
    box = box or _box(mask)
    inside = np.asarray(_squared(mask, box), np.uint8)
    square = unsigned(cv2.copyTo(_squared(film, box), inside))
    while len(square) // 2 >= _LEAST_SPARE * preprocessing.size and len(square) % 2 == 0:
        square, inside = _halved(square), np.asarray(_halved(inside), np.uint8)
    dark, bright = _percentiles(square, inside)
    # Worked out for the grey levels that there can be, not for each pixel. What is 0 stays 0.
    levels = ((np.arange(_levels(square), dtype=np.float32) - dark) / max(bright - dark, 1.0)).clip(0, 1)
    stretched = cv2.LUT(square, levels) if square.dtype == np.uint8 else levels[square]
    if len(stretched) > preprocessing.size:
        # To twice the size, which is near to what it has, and then by two and two: faster than by any number.
        stretched = cv2.resize(stretched, (2 * preprocessing.size,) * 2, interpolation=cv2.INTER_LINEAR)
    method = cv2.INTER_AREA if len(stretched) > preprocessing.size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(stretched, (preprocessing.size,) * 2, interpolation=method), np.float32)[None]


def _box(mask: _Grey) -> _Box:
    x, y, width, height = cv2.boundingRect(mask)
    if width == 0:
        raise NotAMammogram("the mask is empty; segment the film first")
    return x, y, width, height


def input_square(box: _Box) -> tuple[int, int, int]:
    """The square that the network sees of a mask's box (x, y, width, height): left, top and edge in pixels of the
    oriented film. It may reach beyond the film; the edge is even, for it is halved."""
    x, y, width, height = box
    edge = -(-max(width, height) // _EVEN) * _EVEN
    return x, y - (edge - height) // 2, edge


def _levels(film: Pixels) -> int:
    return 256 if film.dtype == np.uint8 else 65536


def _squared(pixels: Pixels, box: _Box) -> Pixels:
    """The square around a box, 0 beyond the film."""
    height, width = pixels.shape
    left, top, edge = input_square(box)
    above, below, beyond = max(0, -top), max(0, top + edge - height), max(0, left + edge - width)
    seen = pixels[max(0, top) : top + edge, left : left + edge]
    if not (above or below or beyond):
        return seen
    return unsigned(cv2.copyMakeBorder(seen, above, below, 0, beyond, cv2.BORDER_CONSTANT, value=0))


def _halved(square: Pixels) -> Pixels:
    half = len(square) // 2
    return unsigned(cv2.resize(square, (half, half), interpolation=cv2.INTER_AREA))


def _percentiles(film: Pixels, inside: _Grey) -> tuple[int, int]:
    """The grey levels at DARK and BRIGHT per cent of the film where it is all inside the mask, from the histogram of
    every second pixel of every second row."""
    levels = _levels(film)
    whole = (inside == inside.max()).view(np.uint8)  # where it is 255, unless a mask is but a line
    for step in (2, 1):  # of which they may see nothing
        seen, covered = unsigned(film[::step, ::step].copy()), whole[::step, ::step].copy()
        histogram = cv2.calcHist([seen], [0], covered, [levels], [0, levels]).ravel()
        if histogram.any():
            break
    share = histogram.cumsum(dtype=np.float64) / histogram.sum()
    dark, bright = np.searchsorted(share, [DARK / 100, BRIGHT / 100])
    return int(dark), int(bright)
