"""Infer craniocaudal (CC) and mediolateral oblique (MLO) views from the shape.

On an oblique view the breast hangs from the muscle: it is wide at its top and reaches farthest from the chest wall
below its middle. On a craniocaudal view both ends taper towards the chest wall and the farthest place is in the middle.
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from shared.imaging.segmentation.upright import Upright

_TOP = 25  # one row of so many is the top
_FARTHEST = (0.5, 0.75)  # of the height between which the farthest place is told apart
_MIDDLE = (0.42, 0.60)  # width of the top, and height of the farthest place, at which both views are as likely
_SLOPE = (8.0, 8.0)  # of the logarithm of the odds by these two
_KNOWN = 0.57
"""An inferred view of which the score is less is unknown."""


@dataclass(frozen=True)
class View:
    """View of a film: `name`, None if unknown, and `score`, 0.5 to 1 if inferred."""

    name: str | None
    score: float
    source: Literal["file", "shape"]

    @property
    def shows_muscle(self) -> bool:
        """Return True if the pectoral muscle is searched: on all but craniocaudal views."""
        return self.name is None or "CC" not in self.name


def view_of(breast: Upright, declared: str | None) -> View:
    """Return the declared view, else the view inferred from the breast's shape."""
    if declared is not None:
        return View(declared, 1.0, "file")
    width = cv2.reduce(breast.breast, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    width = np.trim_zeros(width)
    if not len(width):
        return View(None, 0.5, "shape")
    top = width[: max(1, len(width) // _TOP)].mean() / width.max()
    farthest = float(np.flatnonzero(width >= width.max() - 1).mean()) / len(width)
    odds = _SLOPE[0] * (top - _MIDDLE[0]) + _SLOPE[1] * (min(max(farthest, _FARTHEST[0]), _FARTHEST[1]) - _MIDDLE[1])
    oblique = 1 / (1 + math.exp(-odds))
    score = max(oblique, 1 - oblique)
    return View(("MLO" if odds > 0 else "CC") if score >= _KNOWN else None, score, "shape")
