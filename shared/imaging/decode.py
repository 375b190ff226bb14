"""Between image files and arrays: PGM, PNG, JPEG and TIFF in, PNG and PGM out.

A format is recognised by its first bytes, never by a name. To add one, give it a header function in `headers.py` and a
line in `_FORMATS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import ImageTooLarge, UndecodableImage, UnsupportedImage
from shared.imaging import headers
from shared.imaging.headers import Header

MAX_PIXELS = 100_000_000
"""Larger images are refused from their header. A film at 50 micrometres has about 24 million pixels."""

Pixels: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Image:
    """A grey image: `pixels` (uint8 or uint16, H x W, row 0 on top), of which the lowest `bits` (8 to 16) are used."""

    pixels: Pixels
    bits: int


def decode(data: bytes) -> Image:
    """Decodes an image file; colour becomes grey.

    The depth is what the file declares for PGM. 16-bit PNG and TIFF are only containers, mostly of 10 to 14 bits, so
    that of the brightest pixel counts there.

    Raises UnsupportedImage for other formats, UndecodableImage for truncated or corrupt files, and ImageTooLarge, from
    the header alone, for images beyond MAX_PIXELS.
    """
    for magic, read_header, read_pixels in _FORMATS:
        if data.startswith(magic):
            header = read_header(data)
            if header.width == 0 or header.height == 0:
                raise UndecodableImage(f"the image has {header.width} x {header.height} pixels; send the file again")
            if header.width * header.height > MAX_PIXELS:
                raise ImageTooLarge(
                    f"the image has {header.width} x {header.height} pixels; send at most {MAX_PIXELS // 10**6} million"
                )
            return read_pixels(data, header)
    raise UnsupportedImage("not a format that is read; send PGM (P5), PNG, JPEG or TIFF")


def to_8bit(image: Image) -> npt.NDArray[np.uint8]:
    """The pixels scaled from the image's depth to 8 bits by dropping the lowest."""
    return np.asarray(image.pixels >> (image.bits - 8), np.uint8)


def encode_png(pixels: Pixels) -> bytes:
    """A grey PNG of uint8 or uint16 pixels (H x W).

    Level 1, the up filter and run lengths: on films several times as fast as level 6, and smaller.
    """
    options = [
        *(cv2.IMWRITE_PNG_COMPRESSION, 1),
        *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
        *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    ]
    _, encoded = cv2.imencode(".png", pixels, options)
    return encoded.tobytes()


def encode_pgm(pixels: Pixels) -> bytes:
    """A binary PGM (P5) of uint8 or uint16 pixels (H x W); two bytes a pixel are big-endian, as Netpbm asks."""
    height, width = pixels.shape
    samples = pixels if pixels.dtype == np.uint8 else pixels.astype(">u2")
    return b"P5\n%d %d\n%d\n" % (width, height, np.iinfo(pixels.dtype).max) + samples.tobytes()


def _read_pgm(data: bytes, header: Header) -> Image:
    wide = header.bits > 8
    expected = header.width * header.height * (2 if wide else 1)
    found = len(data) - header.offset
    if found != expected:
        raise UndecodableImage(f"the PGM has {found} bytes of pixels instead of {expected}; send the file again")
    shape = (header.height, header.width)
    if not wide:
        return Image(np.frombuffer(data, np.uint8, offset=header.offset).reshape(shape), header.bits)
    pixels = np.frombuffer(data, ">u2", offset=header.offset).reshape(shape).astype(np.uint16)
    if int(pixels.max()) >> header.bits:
        raise UndecodableImage("a pixel of the PGM exceeds its maxval; send the file again")
    return Image(pixels, header.bits)


def _read_with_opencv(data: bytes, header: Header) -> Image:
    try:
        # Any depth, without the flag for colour: 16 bits stay 16 bits, colour becomes grey.
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise UndecodableImage("the image can't be decoded; send the file again") from error
    # Sorted, because the orientation noted in a JPEG may have turned the image.
    if decoded is None or sorted(decoded.shape) != sorted((header.height, header.width)):
        raise UndecodableImage("the image can't be decoded; send the file again")
    if decoded.dtype == np.uint8:
        return Image(decoded.view(np.uint8), 8)
    if decoded.dtype == np.uint16:
        return Image(decoded.view(np.uint16), max(8, int(decoded.max()).bit_length()))
    raise UnsupportedImage("the image's samples are neither 8 nor 16 bits; send it as PNG")


_FORMATS: tuple[tuple[bytes, Callable[[bytes], Header], Callable[[bytes, Header], Image]], ...] = (
    (b"P5", headers.pgm, _read_pgm),
    (b"\x89PNG\r\n\x1a\n", headers.png, _read_with_opencv),
    (b"\xff\xd8\xff", headers.jpeg, _read_with_opencv),
    (b"II*\0", headers.tiff, _read_with_opencv),
    (b"MM\0*", headers.tiff, _read_with_opencv),
)
