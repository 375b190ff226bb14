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
    seen = network_input(segmentation.film, segmentation.mask, preprocessing)
    return Prepared(seen, segmentation, image.bits, gate)


def network_input(film: Pixels, mask: _Grey, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """The network's input (float32, 1 x size x size, 0..1) of a segmented film (H x W, oriented) and its mask (uint8).

    The mask's box is padded to a square, the chest wall staying at the left edge and the breast centred in height, and
    resized; grey levels are stretched between two percentiles of those inside the mask; outside it the input is 0. A
    film that is much larger than the input is halved first, which is many times as fast as all the rest.
    Raises NotAMammogram when the mask is empty.
    """
    x, y, width, height = cv2.boundingRect(mask)
    if width == 0:
        raise NotAMammogram("the mask is empty; segment the film first")
    box = (slice(y, y + height), slice(x, x + width))
    square, inside = _squared(film[box], mask[box])
    while len(square) // 2 >= _LEAST_SPARE * preprocessing.size and len(square) % 2 == 0:
        square, inside = _halved(square), np.asarray(_halved(inside), np.uint8)
    dark, bright = _percentiles(square, inside)
    # Worked out for the grey levels that there can be, not for each pixel. What is 0 stays 0.
    levels = ((np.arange(_levels(square), dtype=np.float32) - dark) / max(bright - dark, 1.0)).clip(0, 1)
    stretched = cv2.LUT(square, levels) if square.dtype == np.uint8 else levels[square]
    size = (preprocessing.size, preprocessing.size)
    method = cv2.INTER_AREA if len(square) > preprocessing.size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(stretched, size, interpolation=method), np.float32)[None]


def input_square(box: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """The square that the network sees of a mask's box (x, y, width, height): left, top and edge in pixels of the
    oriented film. It may reach beyond the film; the edge is even, for it is halved."""
    x, y, width, height = box
    edge = -(-max(width, height) // _EVEN) * _EVEN
    return x, y - (edge - height) // 2, edge


def _levels(film: Pixels) -> int:
    return 256 if film.dtype == np.uint8 else 65536


def _squared(film: Pixels, mask: _Grey) -> tuple[Pixels, _Grey]:
    """A film's box, 0 outside the mask, and the mask (255 inside) in the square around it."""
    height, width = film.shape
    _, top, edge = input_square((0, 0, width, height))
    place = (slice(-top, height - top), slice(0, width))
    square, inside = unsigned(np.zeros((edge, edge), film.dtype)), np.zeros((edge, edge), np.uint8)
    square[place] = cv2.copyTo(film, mask)
    inside[place] = mask
    return square, inside


def _halved(square: Pixels) -> Pixels:
    half = len(square) // 2
    return unsigned(cv2.resize(square, (half, half), interpolation=cv2.INTER_AREA))


def _percentiles(film: Pixels, inside: _Grey) -> tuple[int, int]:
    """The grey levels at DARK and BRIGHT per cent of the film where it is all inside the mask, from its histogram."""
    whole = (inside == inside.max()).astype(np.uint8)  # where it is 255, unless a mask is but a line
    levels = _levels(film)
    histogram = cv2.calcHist([film], [0], whole, [levels], [0, levels]).ravel()
    share = histogram.cumsum(dtype=np.float64) / histogram.sum()
    dark, bright = np.searchsorted(share, [DARK / 100, BRIGHT / 100])
    return int(dark), int(bright)
