"""Decode PGM, PNG, JPEG, TIFF and DICOM files to arrays; encode PNG and PGM.

A format is recognised by its first bytes, never by a name. To add one, give it two readers and a line in `_FORMATS`.
"""

import logging
import re
from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import UndecodableImage, UnsupportedImage
from shared.imaging.formats import codestreams, headers, tiff
from shared.imaging.formats.depth import within_depth
from shared.imaging.formats.exif import ON_ITS_SIDE, orientation_of, turned
from shared.imaging.formats.jpeg import MOST_HALVINGS, decode_baseline
from shared.imaging.image import Image, ImageHeader, Pixels, check_not_too_small, check_size, halved, halvings, unsigned


def decode(data: bytes, least_edge: int | None = None) -> Image:
    """Decode an image file; colour becomes grey.

    The depth of a PGM below 16 bits is the declared one. Files of 16 bits are mostly containers of 10 to 14: their
    depth is measured, and brighter outliers are clipped to it (`depth.py`). For DICOM see `greyscale.py`.

    Args:
        data: the bytes of the file.
        least_edge: halve the image as often as its shorter edge keeps so many pixels, which also makes decoding a large
            JPEG, JPEG 2000 or HTJ2K cheaper; None decodes it at full size.

    Raises:
        UnsupportedImage: the format is another one.
        UndecodableImage: the file is truncated or corrupt.
        ImageTooLarge: the header declares more than MAX_PIXELS.
        ImageTooSmall: an edge is below both MIN_EDGE and `least_edge`.
    """
    if not data:
        raise UndecodableImage("the file is empty; send it again")
    for start, read, _ in _FORMATS:
        if start.match(data):
            image = read(data, least_edge)
            return image if least_edge is None else halved(check_not_too_small(image, least_edge), least_edge)
    raise UnsupportedImage("unsupported image format; send PGM (P5), PNG, JPEG, TIFF or DICOM")


def read_header(data: bytes) -> ImageHeader:
    """Read the header of an image file, without decoding a pixel.

    Raises:
        ImageError: as `decode`, as far as the header shows it.
    """
    for start, _, describe in _FORMATS:
        if start.match(data):
            return describe(data)
    raise UnsupportedImage("unsupported image format; send PGM (P5), PNG, JPEG, TIFF or DICOM")


def is_dicom(data: bytes) -> bool:
    """Tell whether a file would be read as DICOM."""
    return next((read is _read_dicom for start, read, _ in _FORMATS if start.match(data)), False)


def encode_png(pixels: Pixels) -> bytes:
    """Encode uint8 or uint16 pixels (H x W) as a greyscale PNG.

    Level 1, the up filter and run lengths: on films several times as fast as level 6, and smaller.
    """
    options = [
        *(cv2.IMWRITE_PNG_COMPRESSION, 1),
        *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
        *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    ]
    _, encoded = cv2.imencode(".png", pixels, options)
    return encoded.tobytes()


def encode_pgm(pixels: Pixels, bits: int | None = None) -> bytes:
    """Encode uint8 or uint16 pixels (H x W) as a binary PGM (P5) of a depth in bits.

    The depth defaults to that of the array; two-byte pixels are big-endian, as Netpbm requires.
    """
    height, width = pixels.shape
    samples = pixels if pixels.dtype == np.uint8 else pixels.astype(">u2")
    maxval = np.iinfo(pixels.dtype).max if bits is None else 2**bits - 1
    return b"P5\n%d %d\n%d\n" % (width, height, maxval) + samples.tobytes()


def _read_pgm(data: bytes, _least_edge: int | None) -> Image:
    header = headers.pgm(data)
    check_size(header.width, header.height)
    sample = np.dtype(np.uint8 if header.maxval < 256 else ">u2")
    expected = header.width * header.height * sample.itemsize
    behind = data[header.offset + expected :]
    if len(data) < header.offset + expected or behind not in {b"", b"\n", b"\r\n"}:
        present = len(data) - header.offset
        raise UndecodableImage(f"the PGM has {present} bytes of pixels instead of {expected}; send the file again")
    stored = np.frombuffer(data, sample, header.width * header.height, header.offset)
    pixels = unsigned(stored.reshape(header.height, header.width))
    if header.maxval not in {255, 65535} and int(pixels.max()) > header.maxval:
        raise UndecodableImage("a pixel of the PGM exceeds its maxval; send the file again")
    if header.maxval == 65535:
        return Image(*within_depth(pixels), "PGM")
    bits = max(header.maxval.bit_length(), 8)
    return Image(_scaled(pixels, header.maxval, 2**bits - 1), bits, "PGM")


def _scaled(pixels: Pixels, maxval: int, highest: int) -> Pixels:
    """Scale pixels so that `maxval` becomes `highest`."""
    if maxval == highest:
        return pixels
    table = np.rint(np.arange(2 ** (8 * pixels.itemsize)) * highest / maxval).clip(0, highest)
    return unsigned(cv2.LUT(pixels, table.astype(pixels.dtype)))


def _read_png(data: bytes, _least_edge: int | None) -> Image:
    header = headers.png(data)
    check_size(header.width, header.height)
    # Imported when the first one comes, as everything that takes long to import.
    import imagecodecs  # noqa: PLC0415

    try:
        decoded = imagecodecs.png_decode(data)
    except Exception:  # noqa: BLE001  whatever libpng finds
        raise UndecodableImage("the PNG can't be decoded; send the file again") from None
    if decoded.shape[:2] != (header.height, header.width):
        raise UndecodableImage("the decoded PNG differs in size from its header; send the file again")
    return _image(decoded, orientation_of(header.exif), "PNG")


def _read_tiff(data: bytes, _least_edge: int | None) -> Image:
    page = tiff.header(data)
    return _image(tiff.decode(data, page), page.orientation, "TIFF")


def _image(samples: npt.NDArray[np.uint8 | np.uint16], orientation: int, name: str) -> Image:
    """Create an image from samples (H x W, or H x W x channels).

    Colour becomes grey, the orientation is applied, and opacity is dropped.
    """
    if samples.ndim == 3 and samples.shape[2] > 2:
        grey = unsigned(cv2.cvtColor(samples[..., :3].copy(), cv2.COLOR_RGB2GRAY))
    else:
        grey = unsigned(samples if samples.ndim == 2 else samples[..., 0].copy())
    pixels = turned(grey, orientation)
    if pixels.dtype == np.uint8:
        return Image(pixels, 8, name)
    return Image(*within_depth(pixels), name)


def _read_jpeg(data: bytes, least_edge: int | None) -> Image:
    header = codestreams.jpeg(data)
    if header.bits != 8 or header.process in {codestreams.LOSSLESS, codestreams.JPEG_LS}:
        raise UnsupportedImage("the JPEG is lossless or not of 8 bits; send it as PNG")
    if header.channels not in {1, 3}:
        raise UnsupportedImage(f"the JPEG has {header.channels} channels, expected 1 or 3; send it as PNG")
    check_size(header.width, header.height)
    times = min(halvings(header.width, header.height, least_edge), MOST_HALVINGS)
    orientation = orientation_of(header.exif)
    pixels = turned(decode_baseline(data, (header.width, header.height), times), orientation)
    frame = (header.height, header.width) if orientation in ON_ITS_SIDE else (header.width, header.height)
    return Image(pixels, 8, "JPEG", reduction=2**times, frame=frame if times else None)


def _described(name: str, width: int, height: int, orientation: int = 1) -> ImageHeader:
    check_size(width, height)
    return ImageHeader(name, (height, width) if orientation in ON_ITS_SIDE else (width, height))


def _describe_pgm(data: bytes) -> ImageHeader:
    header = headers.pgm(data)
    return _described("PGM", header.width, header.height)


def _describe_png(data: bytes) -> ImageHeader:
    header = headers.png(data)
    return _described("PNG", header.width, header.height, orientation_of(header.exif))


def _describe_jpeg(data: bytes) -> ImageHeader:
    header = codestreams.jpeg(data)
    return _described("JPEG", header.width, header.height, orientation_of(header.exif))


def _describe_tiff(data: bytes) -> ImageHeader:
    page = tiff.header(data)
    return _described("TIFF", page.width, page.height, page.orientation)


def _describe_dicom(data: bytes) -> ImageHeader:
    from shared.imaging.formats import dicom  # noqa: PLC0415

    return dicom.read_header(data)


def _read_dicom(data: bytes, least_edge: int | None) -> Image:
    # Imported when the first one comes: pydicom takes longer to import than a service may take to start.
    from shared.imaging.formats import dicom  # noqa: PLC0415

    return dicom.read(data, least_edge)


# It warns of odd chunks and tags in the file's own words; of damage it raises.
logging.getLogger("imagecodecs").setLevel(logging.CRITICAL)

_Reader: TypeAlias = Callable[[bytes, int | None], Image]

_Describer: TypeAlias = Callable[[bytes], ImageHeader]

_FORMATS: tuple[tuple[re.Pattern[bytes], _Reader, _Describer], ...] = tuple(
    (re.compile(start, re.DOTALL), read, describe)
    for start, read, describe in (
        (rb"(.{128})?DICM", _read_dicom, _describe_dicom),  # first: a preamble may look like a TIFF
        (rb"P5", _read_pgm, _describe_pgm),
        (rb"\x89PNG\r\n\x1a\n", _read_png, _describe_png),
        (rb"\xff\xd8\xff", _read_jpeg, _describe_jpeg),
        (rb"II[*+]\0|MM\0[*+]", _read_tiff, _describe_tiff),
        (rb"[\x02\x08]\0[\0-\x20]\0", _read_dicom, _describe_dicom),  # no preamble: group 2 or 8 is first
    )
)
