"""Decode 8-bit JPEG with libjpeg-turbo, at a reduced resolution where that is enough.

simplejpeg (MIT) gives the same pixels as OpenCV in the same time, and raises where libjpeg only warns: a file whose
data are damaged comes out of OpenCV, Pillow and imagecodecs as if it were whole.
"""

import numpy as np
import numpy.typing as npt
import simplejpeg

from shared.errors import UndecodableImage
from shared.imaging.formats.codestreams import without_application_data

MOST_HALVINGS = 3

_DAMAGE = ("corrupt", "premature", "inconsistent")
"""Words of libjpeg's warnings that tell of damage; it also warns of versions and colour transforms it does not know."""


def decode_baseline(data: bytes, size: tuple[int, int], times: int) -> npt.NDArray[np.uint8]:
    """Decode the grey pixels (H x W) of an 8-bit JPEG, halved so many times.

    `size` is its full width and height; colour becomes grey.

    Raises:
        UndecodableImage: it is damaged, even where libjpeg would conceal it.
    """
    width, height = (-(-edge >> times) for edge in size)
    pixels = np.zeros((height, width, 1), np.uint8)
    try:
        try:
            decoded = _decoded(data, pixels, strict=True)
        except ValueError as warning:
            if any(word in str(warning).lower() for word in _DAMAGE):
                raise UndecodableImage("the JPEG's data are damaged; send the file again") from None
            # Of headers it warns even where it is asked not to.
            decoded = _decoded(without_application_data(data), pixels, strict=False)
    except ValueError:
        raise UndecodableImage("the JPEG can't be decoded; send the file again") from None
    if decoded.shape != pixels.shape:
        raise UndecodableImage("the decoded JPEG differs in size from its header; send the file again")
    return pixels[..., 0]


def _decoded(data: bytes, pixels: npt.NDArray[np.uint8], *, strict: bool) -> npt.NDArray[np.uint8]:
    height, width, _ = pixels.shape
    return np.asarray(
        simplejpeg.decode_jpeg(
            data, colorspace="GRAY", min_height=height, min_width=width, buffer=pixels, strict=strict
        )
    )
