"""Apply the orientation of images (Exif and TIFF tag 274)."""

import struct

import cv2

from shared.imaging.formats.tiff import directory, layout_of
from shared.imaging.image import Pixels, unsigned

_ORIENTATION = 274

_ROTATIONS = {3: cv2.ROTATE_180, 4: cv2.ROTATE_180, 5: cv2.ROTATE_90_CLOCKWISE, 6: cv2.ROTATE_90_CLOCKWISE}
_ROTATIONS |= {7: cv2.ROTATE_90_COUNTERCLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_MIRRORED = {2, 4, 5, 7}
ON_ITS_SIDE = {5, 6, 7, 8}
"""Orientations that exchange width and height."""


def orientation_of(exif: bytes) -> int:
    """Return the orientation, 1 to 8, of a block of Exif data; 1 if it has none."""
    try:
        layout = layout_of(exif)
        tags, _ = directory(exif, struct.unpack_from(layout.offset, exif, 4)[0], layout, {_ORIENTATION})
        return tags.get(_ORIENTATION, (1,))[0]
    except (struct.error, KeyError, IndexError):
        return 1


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Return the pixels in display orientation; an unknown value changes nothing."""
    if orientation in _ROTATIONS:
        pixels = unsigned(cv2.rotate(pixels, _ROTATIONS[orientation]))
    return unsigned(cv2.flip(pixels, 1)) if orientation in _MIRRORED else pixels
