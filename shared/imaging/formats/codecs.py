"""Decode the compressed frames of DICOM files, each with the fastest library for it.

imagecodecs (BSD) brings libjpeg-turbo 3 (JPEG of 12 bits and lossless JPEG), CharLS (JPEG-LS) and OpenJPEG (JPEG 2000
and HTJ2K); Pillow (MIT-CMU) brings an OpenJPEG too, slower at HTJ2K, but with its decoding at a reduced resolution.
OpenJPH, which imagecodecs has as well, is faster, but says nothing of damage and leaves in the image what the memory
held before. None of them is called before the frame's own header has been read here and agrees with what the file says
about it.
"""

import io
import struct
from collections.abc import Callable
from itertools import accumulate
from typing import TypeAlias

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from shared.errors import ImageError, UndecodableImage, UnsupportedImage
from shared.imaging.formats import codestreams
from shared.imaging.formats.codestreams import Codestream
from shared.imaging.formats.jpeg import MOST_HALVINGS, decode_baseline
from shared.imaging.image import Pixels, check_size, halvings, unsigned

MAX_J2K_PIXELS = 36_000_000
"""OpenJPEG works in 32-bit integers: what it takes for more would be too much."""

Size: TypeAlias = tuple[int, int]
"""Width and height."""
FrameDecoder: TypeAlias = Callable[[bytes, Size, int, int | None], tuple[Pixels, int]]
"""Takes a frame, its size and its allocated bits as the file says, and least_edge; gives the words (H x W) and how
often they were halved. Raises UndecodableImage, UnsupportedImage or ImageTooLarge."""


def jpeg(frame: bytes, size: Size, _bits: int, least_edge: int | None) -> tuple[Pixels, int]:
    """Decode JPEG of 8 or 12 bits, or lossless JPEG of 2 to 16 bits.

    8-bit JPEG is decoded at a reduced resolution where that is enough.
    """
    header = codestreams.jpeg(frame)
    _agree(header, size)
    if header.process not in {codestreams.BASELINE, codestreams.EXTENDED, codestreams.LOSSLESS}:
        raise UnsupportedImage("the DICOM's JPEG is progressive or of another unsupported kind; send it uncompressed")
    if header.bits == 8 and header.process != codestreams.LOSSLESS:
        times = min(halvings(*size, least_edge), MOST_HALVINGS)
        return _checked(lambda: decode_baseline(frame, size, times), size, times)
    return _checked(lambda: imagecodecs.jpeg8_decode(frame), size, 0)


def jpeg_ls(frame: bytes, size: Size, _bits: int, _least_edge: int | None) -> tuple[Pixels, int]:
    """Decode JPEG-LS, lossless or near-lossless."""
    header = codestreams.jpeg(frame)
    _agree(header, size)
    if header.process != codestreams.JPEG_LS:
        raise UndecodableImage(
            "the DICOM's transfer syntax is JPEG-LS but its data are another JPEG; send the file again"
        )
    return _checked(lambda: imagecodecs.jpegls_decode(frame), size, 0)


def jpeg_2000(frame: bytes, size: Size, _bits: int, least_edge: int | None) -> tuple[Pixels, int]:
    """Decode JPEG 2000 or HTJ2K, at a reduced resolution where that is enough."""
    start = frame[:1024].find(b"\xff\x4f\xff\x51")  # some writers leave the boxes of a JP2 file around it
    frame = frame[max(start, 0) :]
    header = codestreams.jpeg_2000(frame)
    _agree(header, size)
    check_size(*size, most=MAX_J2K_PIXELS)
    times = _halvings_in_pillow(size, min(header.levels, halvings(*size, least_edge)))
    if times == 0:
        return _checked(lambda: imagecodecs.jpeg2k_decode(frame), size, 0)
    return _checked(lambda: _reduced(frame, times, header), size, times)


def _reduced(frame: bytes, times: int, header: Codestream) -> npt.NDArray[np.generic]:
    with Pillow.open(io.BytesIO(frame), formats=["JPEG2000"]) as image:
        setattr(image, "reduce", times)  # noqa: B010  Pillow's way to ask for a resolution, which shadows a method
        image.load()
        samples = np.asarray(image)
    # Pillow fills its 8 or 16 bits from the top, and lifts signed samples to half of them.
    samples = samples >> (8 * samples.itemsize - header.bits)
    return samples - samples.dtype.type(2 ** (header.bits - 1)) if header.signed else samples


def _halvings_in_pillow(size: Size, most: int) -> int:
    """Return the number of times that Pillow can halve a JPEG 2000 of this size.

    It rounds what OpenJPEG rounds up, and fails where the two differ. Once always works.
    """
    return max(
        times
        for times in range(most + 1)
        if all((edge + (1 << times >> 1)) >> times == -(-edge >> times) for edge in size)
    )


def run_lengths(frame: bytes, size: Size, bits: int, _least_edge: int | None) -> tuple[Pixels, int]:
    """Decode run lengths (DICOM PS3.5 annex G)."""
    width, height = size
    planes = bits // 8
    if len(frame) < 64 or int.from_bytes(frame[:4], "little") != planes:
        raise UndecodableImage("the header of the DICOM's RLE data is invalid; send the file again")

    def decoded() -> npt.NDArray[np.generic]:
        words = imagecodecs.dicomrle_decode(frame, f"<u{planes}", out=width * height * planes)
        return np.frombuffer(words, f"<u{planes}").reshape(height, width)

    return _checked(decoded, size, 0)


def encode_run_lengths(words: Pixels) -> bytes:
    """Encode words (H x W, uint8 or uint16) by run lengths: each row of a byte plane by itself, high bytes first."""
    size = words.itemsize
    planes = words.astype(words.dtype.newbyteorder(">")).view(np.uint8).reshape(*words.shape, size)
    segments = [imagecodecs.packbits_encode(np.ascontiguousarray(planes[:, :, plane])) for plane in range(size)]
    segments = [segment + bytes(len(segment) % 2) for segment in segments]
    starts = accumulate((len(segment) for segment in segments[:-1]), initial=64)
    return struct.pack("<16L", size, *starts, *bytes(15 - size)) + b"".join(segments)


def _agree(header: Codestream, size: Size) -> None:
    if (header.width, header.height) != size:
        width, height = size
        raise UndecodableImage(
            f"the DICOM declares {width} x {height} pixels but contains {header.width} x {header.height}; "
            "send the file again"
        )
    if header.channels != 1 or not 2 <= header.bits <= 16:
        raise UnsupportedImage("the DICOM's frame is not one greyscale plane of at most 16 bits; send one grey film")


def _checked(decode: Callable[[], npt.NDArray[np.generic]], size: Size, times: int) -> tuple[Pixels, int]:
    """Decode with a library; any failure of it becomes UndecodableImage."""
    try:
        decoded = decode()
    except ImageError:
        raise
    except Exception:  # noqa: BLE001  each library has errors of its own, and they may quote the file
        raise UndecodableImage("the DICOM's frame can't be decoded; send the file again") from None
    width, height = size
    if decoded.shape != (-(-height >> times), -(-width >> times)) or decoded.itemsize > 2:
        raise UndecodableImage("the DICOM's decoded frame differs in size from its header; send the file again")
    return unsigned(decoded), times
