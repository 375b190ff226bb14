"""Breast segmentation: turns a film so that its chest wall is on the left and blacks out all that is not parenchyma."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import NotAMammogram
from shared.imaging.breast import Work, borders, enlarged, find_breast
from shared.imaging.gate import Gate, judge
from shared.imaging.image import Image, Pixels, to_8bit, unsigned
from shared.imaging.pectoral import find_pectoral

SEGMENTATION_VERSION: int = 2
"""Raised whenever `segment` gives other masks than before: models remember which one they were trained on."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A segmented film. All arrays are H x W, in the oriented frame: the chest wall is on the left."""

    film: Pixels
    """The film with its own depth, 0 outside `mask`."""
    mask: npt.NDArray[np.uint8]
    """Uint8, 255 inside the parenchyma: the breast without the pectoral muscle."""
    breast: npt.NDArray[np.uint8]
    """Uint8, 255 inside the breast, with the pectoral muscle."""
    flipped: bool
    """Whether the film was mirrored to bring its chest wall to the left."""
    box: tuple[int, int, int, int]
    """x, y, width and height of `mask`, pixels."""
    gate: Gate
    """Whether it looks like a mammogram at all."""


def segment(pixels: Pixels, bits: int = 8) -> Segmentation:
    """Segments a film (H x W, any size, either laterality, also rotated by up to 30 degrees) of a depth in bits.

    What is breast is found on its upper 8 bits. Raises NotAMammogram where there is none.
    """
    work = find_breast(to_8bit(Image(pixels, bits)))
    flipped = _chest_wall_is_right(work)
    if flipped:
        work = Work(*(_mirror(part) for part in (work.film, work.grey, work.breast, work.outline)))
        pixels = unsigned(cv2.flip(pixels, 1))
    height, width = pixels.shape
    breast = enlarged(work.outline, pixels.shape, 255)

    mask = breast.copy()
    pectoral = find_pectoral(work.grey, work.breast)
    if len(pectoral):
        scale = np.array([width, height]) / work.grey.shape[::-1]
        cv2.fillPoly(mask, [np.round((pectoral + 0.5) * scale - 0.5).astype(np.int32)], 0)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        raise NotAMammogram("only muscle was found on the film; send one whole mammogram")
    largest = max(contours, key=cv2.contourArea)
    mask = np.zeros(breast.shape, np.uint8)
    cv2.drawContours(mask, [largest], -1, 255, cv2.FILLED)
    x, y, box_width, box_height = cv2.boundingRect(largest)
    film = unsigned(cv2.copyTo(pixels, mask))
    return Segmentation(film, mask, breast, flipped, (x, y, box_width, box_height), judge(work))


def _chest_wall_is_right(work: Work) -> bool:
    """The chest wall cuts the breast where it is bright; towards the skin it fades. The brighter side is the wall.

    Only the upper part is asked: below, the breast may lift off the chest wall.
    """
    rows, first, last = borders(work.breast, step=2)
    upper = slice(0, math.ceil(0.6 * len(rows)))
    rows, first, last = rows[upper], first[upper], last[upper]
    left = np.minimum(first + 4, work.breast.shape[1] - 1)
    right = np.maximum(last - 4, 0)
    return bool(work.grey[rows, right].sum(dtype=np.int64) > work.grey[rows, left].sum(dtype=np.int64))


def _mirror(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.flip(array, 1), np.uint8)
