"""Between image files and arrays: PGM, PNG, JPEG, TIFF and DICOM in, PNG and PGM out.

A format is recognised by its first bytes, never by a name. To add one, give it a reader and a line in `_FORMATS`.
"""

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np

from shared.errors import UndecodableImage, UnsupportedImage
from shared.imaging import codestreams, headers
from shared.imaging.baseline import MOST_HALVINGS, decode_baseline
from shared.imaging.image import Image, Pixels, check_size, halvings


def decode(data: bytes, least_edge: int | None = None) -> Image:
    """Decodes an image file; colour becomes grey.

    With `least_edge` the image may come out halved, once or more, as long as its shorter edge keeps that many pixels:
    what a large JPEG, JPEG 2000 or HTJ2K costs falls with it. None is full size.

    The depth is what the file declares for PGM. 16-bit PNG and TIFF are only containers, mostly of 10 to 14 bits, so
    that of the brightest pixel counts there. For DICOM see `greyscale.py`.

    Raises UnsupportedImage for other formats, UndecodableImage for truncated or corrupt files, and ImageTooLarge, from
    the header alone, for images beyond MAX_PIXELS.
    """
    for magic, position, read in _FORMATS:
        if data.startswith(magic, position):
            return read(data, least_edge)
    raise UnsupportedImage("not a format that is read; send PGM (P5), PNG, JPEG, TIFF or DICOM")


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


def encode_pgm(pixels: Pixels, bits: int | None = None) -> bytes:
    """A binary PGM (P5) of uint8 or uint16 pixels (H x W), which declares a depth in bits, else that of the array; two
    bytes a pixel are big-endian, as Netpbm asks."""
    height, width = pixels.shape
    samples = pixels if pixels.dtype == np.uint8 else pixels.astype(">u2")
    maxval = np.iinfo(pixels.dtype).max if bits is None else 2**bits - 1
    return b"P5\n%d %d\n%d\n" % (width, height, maxval) + samples.tobytes()


def _read_pgm(data: bytes, _least_edge: int | None) -> Image:
    header = headers.pgm(data)
    check_size(header.width, header.height)
    wide = header.bits > 8
    expected = header.width * header.height * (2 if wide else 1)
    found = len(data) - header.offset
    if found != expected:
        raise UndecodableImage(f"the PGM has {found} bytes of pixels instead of {expected}; send the file again")
    shape = (header.height, header.width)
    if not wide:
        return Image(np.frombuffer(data, np.uint8, offset=header.offset).reshape(shape), header.bits, "PGM")
    pixels = np.frombuffer(data, ">u2", offset=header.offset).reshape(shape).astype(np.uint16)
    if int(pixels.max()) >> header.bits:
        raise UndecodableImage("a pixel of the PGM exceeds its maxval; send the file again")
    return Image(pixels, header.bits, "PGM")


def _read_png(data: bytes, _least_edge: int | None) -> Image:
    return _read_with_opencv(data, headers.png(data), "PNG")


def _read_tiff(data: bytes, _least_edge: int | None) -> Image:
    return _read_with_opencv(data, headers.tiff(data), "TIFF")


def _read_with_opencv(data: bytes, header: headers.Header, name: str) -> Image:
    check_size(header.width, header.height)
    try:
        # Any depth, without the flag for colour: 16 bits stay 16 bits, colour becomes grey.
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        decoded = None
    # Sorted, because the orientation noted in a file may have turned the image.
    if decoded is None or sorted(decoded.shape) != sorted((header.height, header.width)):
        raise UndecodableImage(f"the {name} can't be decoded; send the file again")
    if decoded.dtype == np.uint8:
        return Image(decoded.view(np.uint8), 8, name)
    if decoded.dtype == np.uint16:
        return Image(decoded.view(np.uint16), max(8, int(decoded.max()).bit_length()), name)
    raise UnsupportedImage(f"the {name}'s samples are neither 8 nor 16 bits; send it as PNG")


def _read_jpeg(data: bytes, least_edge: int | None) -> Image:
    header = codestreams.jpeg(data)
    if header.bits != 8 or header.process in {codestreams.LOSSLESS, codestreams.JPEG_LS}:
        raise UnsupportedImage("the JPEG is lossless or has other than 8 bits; send it as PNG")
    check_size(header.width, header.height)
    times = min(halvings(header.width, header.height, least_edge), MOST_HALVINGS)
    pixels = decode_baseline(data, times, turn=True)
    height, width = pixels.shape
    frames = [(header.width, header.height), (header.height, header.width)]  # as stored, and turned
    for frame in frames:
        if (-(-frame[0] >> times), -(-frame[1] >> times)) == (width, height):
            return Image(pixels, 8, "JPEG", reduction=2**times, frame=frame if times else None)
    raise UndecodableImage("the JPEG is not of the size that its header says; send the file again")


def _read_dicom(data: bytes, least_edge: int | None) -> Image:
    # Imported when the first one comes: pydicom takes longer to import than a service may take to start.
    from shared.imaging import dicom  # noqa: PLC0415

    return dicom.read(data, least_edge)


def _refuse_bare_dicom(_data: bytes, _least_edge: int | None) -> Image:
    raise UnsupportedImage("a DICOM without its preamble is not read; send it as the file that PS3.10 describes")


_Reader: TypeAlias = Callable[[bytes, int | None], Image]

_FORMATS: tuple[tuple[bytes, int, _Reader], ...] = (
    (b"DICM", 128, _read_dicom),  # first: a preamble may look like a TIFF
    (b"P5", 0, _read_pgm),
    (b"\x89PNG\r\n\x1a\n", 0, _read_png),
    (b"\xff\xd8\xff", 0, _read_jpeg),
    (b"II*\0", 0, _read_tiff),
    (b"MM\0*", 0, _read_tiff),
    *((group, 0, _refuse_bare_dicom) for group in (b"\x02\0\0\0", b"\x08\0\5\0", b"\x08\0\x08\0", b"\x08\0\0\0")),
)
