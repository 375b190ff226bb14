"""Decodes JPEG of 8 bits with OpenCV, smaller than it is where that is enough."""

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import UndecodableImage

_GREY = (
    cv2.IMREAD_GRAYSCALE,
    cv2.IMREAD_REDUCED_GRAYSCALE_2,
    cv2.IMREAD_REDUCED_GRAYSCALE_4,
    cv2.IMREAD_REDUCED_GRAYSCALE_8,
)
MOST_HALVINGS = len(_GREY) - 1


def decode_baseline(data: bytes, times: int, *, turn: bool) -> npt.NDArray[np.uint8]:
    """The grey pixels (H x W) of a JPEG of 8 bits, halved `times` while it is decoded; colour becomes grey.

    `turn` follows the orientation that a camera noted, which may exchange height and width. Raises UndecodableImage.
    """
    flags = _GREY[times] | (0 if turn else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise UndecodableImage("the JPEG can't be decoded; send the file again")
    return np.asarray(pixels, np.uint8)
