"""Find the side of the chest wall: the straight side of the breast's outline.

Laterality does not determine it: some hospitals and scanners mirror films.
"""

import cv2
import numpy as np

from shared.imaging.segmentation.breast import ReducedFilm
from shared.imaging.segmentation.regions import straight_shares

_DECIDED = (0.75, 0.3)  # share of straight rows of the wall at least, and how much more than on the other side
_TURNED = 0.5  # share of straight rows of either side up to which the film is turned, and rows say little
_INSET = 4  # pixels between an edge and where grey is taken next to it
_UPPER = 0.6  # of the rows are asked for grey: below, the breast may lift off the chest wall
_TOP = 20  # one row of so many is the top


def chest_wall_is_right(reduced: ReducedFilm) -> bool:
    """Return whether the chest wall is on the right side of the frame.

    On most films one side alone is straight, because the film or the detector ends there. A breast that is larger than
    the film is cut off on both sides, and on a turned film neither side is a column. There the longest straight run of
    the hull and the brighter side are weighed, which counts twice on film scans, and on cut films the side towards
    which the top leans.
    """
    left, right = straight_shares(reduced.borders, reduced.breast.shape[1])
    score = left - right
    if max(left, right) > _DECIDED[0] and abs(score) > _DECIDED[1]:
        return score < 0
    runs, brightness = _longest_runs(reduced), _brightness(reduced)
    if min(left, right) > _TURNED:
        score += runs + brightness + 2 * _top(reduced)
    else:
        score = score / 2 + runs + (brightness if reduced.stepped else 2 * brightness)
    return bool(score < 0)


def _longest_runs(reduced: ReducedFilm) -> float:
    """Compare the longest straight runs of the hull: -0.5 to 0.5, above 0 is left."""
    left, right = (float(np.ptp(side.wall, axis=0).max()) for side in (reduced, reduced.mirrored()))
    return left / max(left + right, 1.0) - 0.5


def _brightness(reduced: ReducedFilm) -> float:
    """Compare the grey at the left edge with that at the right: towards the skin a film scan fades."""
    rows, first, last = (part[: max(1, int(_UPPER * len(part)))] for part in reduced.borders)
    at_left = reduced.grey[rows, np.minimum(first + _INSET, reduced.grey.shape[1] - 1)]
    at_right = reduced.grey[rows, np.maximum(last - _INSET, 0)]
    return float(np.median(at_left - at_right)) / max(float(np.median(at_left + at_right)), 1.0)


def _top(reduced: ReducedFilm) -> float:
    """Compare the middle of the top rows with the breast's: above 0 it leans left.

    The unit is the width of the breast.
    """
    x, _, width, _ = cv2.boundingRect(reduced.contour)
    rows, first, last = reduced.borders
    count = max(1, len(rows) // _TOP)
    return (x + width / 2 - float((first[:count] + last[:count]).mean()) / 2) / width
