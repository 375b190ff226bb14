"""Masks next to each other."""

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Mask: TypeAlias = npt.NDArray[np.uint8]


def dice(a: Mask, b: Mask) -> float:
    """Give Dice's coefficient of two masks (uint8, H x W, not 0 inside); 0 where both are empty."""
    return 2 * area(np.bitwise_and(a, b)) / max(1, area(a) + area(b))


def area(mask: Mask) -> int:
    return cv2.countNonZero(mask)
