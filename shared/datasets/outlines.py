"""Outlines of lesions from masks."""

import cv2
import numpy as np
import numpy.typing as npt

from shared.domain.lesions import Point

_EXACT = 1.0  # pixels by which a simplified contour may be off


def outline_of(mask: npt.NDArray[np.bool_], width: int, height: int) -> tuple[Point, ...]:
    """Return the outline of the largest area of a mask (H x W), in pixels of a film of a width and a height.

    The mask may have another size. The result is empty if the mask is.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return ()
    largest = max(contours, key=cv2.contourArea)
    corners = cv2.approxPolyDP(largest, _EXACT, True).reshape(-1, 2)
    scale = np.array([width / mask.shape[1], height / mask.shape[0]])
    # a pixel's centre lies half a pixel from the film's edges
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in (corners + 0.5) * scale)
