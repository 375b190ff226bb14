"""Read the headers of JPEG, JPEG-LS and JPEG 2000 codestreams, bare or inside DICOM.

The header is checked before a decoder is called: a codestream that would cost far more memory or time than its pixels
explain is refused. Each function takes bytes, and raises UndecodableImage (truncated or corrupt) or UnsupportedImage (a
variety that is not read).
"""

import re
import struct
from dataclasses import dataclass, replace

from shared.errors import UndecodableImage, UnsupportedImage

BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS, JPEG_LS = 0xC0, 0xC1, 0xC2, 0xC3, 0xF7
"""Start-of-frame markers: which process a JPEG was coded by."""

MAX_SCANS = 24
"""A progressive JPEG is drawn over as often as it has scans; the usual scripts have six for grey and ten for colour."""
MAX_TILES = 4096
MAX_LAYERS = 128
LEAST_CODE_BLOCK = 256
"""Pixels: an image in smaller blocks costs a decoder more memory for them than for its pixels."""

_MARKER = re.compile(rb"\xff+[^\x00\xff]")
_SCAN_END = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""Within a scan 0xFF is followed by 0, in JPEG-LS by less than 0x80, or by a restart marker."""
_JPEG_KEPT = frozenset((*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD, JPEG_LS, 0xF8))
"""Markers of segments that decoders read; others hold notes."""
_JPEG_2000_KEPT = frozenset(range(0x50, 0x64))
_TILE_PART = b"\xff\x90"


@dataclass(frozen=True)
class Codestream:
    """Header of a codestream.

    `bits` is the depth of a sample, `channels` the samples a pixel; `process` is a JPEG's start-of-frame marker, and 0
    for JPEG 2000; `levels` is the number of times that a JPEG 2000 can be halved, `signed` the sign of its samples;
    `exif` is a JPEG's block of Exif data.
    """

    width: int
    height: int
    bits: int
    channels: int
    process: int = 0
    levels: int = 0
    signed: bool = False
    exif: bytes = b""


def jpeg(data: bytes) -> Codestream:
    """Read the frame header of a whole JPEG (ISO/IEC 10918-1) or JPEG-LS (14495-1)."""
    position, header, exif = 2, None, b""
    while data[:2] == b"\xff\xd8" and position + 4 <= len(data):
        if data[position] != 0xFF:
            raise UndecodableImage("the JPEG lacks a marker; send the file again")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in {0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}:
            if position + 10 > len(data):
                break
            if header is not None:
                raise UndecodableImage("the JPEG has two frame headers; send the file again")
            bits, height, width, channels = struct.unpack_from(">BHHB", data, position + 4)
            if marker not in {BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS, JPEG_LS}:
                raise UnsupportedImage(
                    "the JPEG is hierarchical or arithmetic-coded, which is unsupported; send it as PNG"
                )
            header = Codestream(width, height, bits, channels, process=marker)
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            exif = data[position + 10 : position + 2 + length]
        # Within a scan 0xFF is followed by 0 or by a restart marker, so the first end marker behind it is the true one.
        if marker == 0xDA and header is not None and data.find(b"\xff\xd9", position) >= 0:
            if header.process == PROGRESSIVE and len(re.findall(b"\xff\xda", data[position:])) > MAX_SCANS:
                raise UnsupportedImage(f"the JPEG has more than {MAX_SCANS} scans; send it as PNG")
            return replace(header, exif=exif)
        position += 2 + length
    raise UndecodableImage("the JPEG ends before its end marker; send the file again")


def without_application_data(data: bytes) -> bytes:
    """Remove the application segments of a JPEG, which `jpeg` has read, before its scan."""
    kept, position = [data[:2]], 2
    while data[position + 1] != 0xDA:
        end = (
            position + 1
            if data[position + 1] == 0xFF
            else position + 2 + int.from_bytes(data[position + 2 : position + 4])
        )
        if data[position + 1] not in range(0xE0, 0xF0):
            kept.append(data[position:end])
        position = end
    return b"".join([*kept, data[position:]])


def jpeg_without_texts(data: bytes) -> bytes:
    """Return what a decoder reads of a JPEG or JPEG-LS that `jpeg` has read: no notes, and nothing behind its end.

    Raises:
        UndecodableImage: its segments do not lead to its end marker.
    """
    kept, position = [data[:2]], 2
    while found := _MARKER.match(data, position):
        position = found.end()
        marker = data[position - 1]
        if marker == 0xD9:
            return b"".join([*kept, b"\xff\xd9"])
        end = position + int.from_bytes(data[position : position + 2])
        if marker == 0xDA and (behind := _SCAN_END.search(data, end)):
            end = behind.start()
        if end < position + 2 or end > len(data) or marker == 0xD8:
            break
        if marker in _JPEG_KEPT:
            kept.append(data[position - 2 : end])
        position = end
    raise UndecodableImage("the JPEG ends before its end marker; send the file again")


def jpeg_2000_without_texts(data: bytes) -> bytes:
    """Return a codestream that `jpeg_2000` has read without comments, and with nothing behind its end marker.

    Comments of tile-parts become zeros, as other segments say how long a tile-part is.

    Raises:
        UndecodableImage: its tile-parts do not lead to its end marker.
    """
    kept, position = [data[:2]], 2
    while data[position : position + 2] != _TILE_PART:
        end = _segment_end(data, position)
        if data[position + 1] in _JPEG_2000_KEPT:
            kept.append(data[position:end])
        position = end
    while data[position : position + 2] == _TILE_PART:
        length = int.from_bytes(data[position + 6 : position + 10])
        part_end = position + length if length else data.find(b"\xff\xd9", position + 12)
        if part_end > len(data):
            break
        position, start = _segment_end(data, position), position
        kept.append(data[start:position])
        while data[position : position + 2] != b"\xff\x93" and position < part_end:
            end = _segment_end(data, position)
            known = data[position + 1] in _JPEG_2000_KEPT
            kept.append(data[position:end] if known else data[position : position + 4] + bytes(end - position - 4))
            position = end
        if position >= part_end:
            break
        kept.append(data[position:part_end])
        position = part_end
    # Decoders do without the end marker, so a file that lacks nothing else is completed.
    if data[position : position + 2] != b"\xff\xd9" and data[position:].strip(b"\0"):
        raise UndecodableImage("the JPEG 2000 ends before its end marker; send the file again")
    return b"".join([*kept, b"\xff\xd9"])


def _segment_end(data: bytes, position: int) -> int:
    end = position + 2 + int.from_bytes(data[position + 2 : position + 4])
    if data[position : position + 1] != b"\xff" or not position + 4 <= end <= len(data):
        raise UndecodableImage("the JPEG 2000 has a corrupt segment; send the file again")
    return end


def jpeg_2000(data: bytes) -> Codestream:
    """Read the main header of a bare JPEG 2000 (ISO/IEC 15444-1) or HTJ2K (15444-15)."""
    try:
        return _jpeg_2000(data)
    except struct.error:
        raise UndecodableImage("the JPEG 2000 header is truncated; send the file again") from None


def _jpeg_2000(data: bytes) -> Codestream:
    header, levels, position = None, None, 2
    while data[:2] == b"\xff\x4f":
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == 0xFF51:
            header = _image_and_tile_size(data, position + 4)
        elif marker == 0xFF52:
            levels = _coding_style(data, position + 4)
        elif marker in {0xFF53, 0xFF5F}:
            raise UnsupportedImage(
                "the JPEG 2000 changes its coding between tiles, which is unsupported; send it as PNG"
            )
        elif marker == 0xFF90:
            if header is None or levels is None:
                break
            width, height, bits, signed = header
            return Codestream(width, height, bits, channels=1, levels=levels, signed=signed)
        if marker < 0xFF00 or length < 2:
            break
        position += 2 + length
    raise UndecodableImage("the JPEG 2000 header is corrupt; send the file again")


def _image_and_tile_size(data: bytes, at: int) -> tuple[int, int, int, bool]:
    """Return width, height, bits and sign of the one component."""
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack_from(">8I", data, at + 2)
    channels, depth, step_x, step_y = struct.unpack_from(">HBBB", data, at + 34)
    if channels != 1 or (step_x, step_y) != (1, 1):
        raise UnsupportedImage("the JPEG 2000 is not one greyscale plane; send one grey film")
    if tile_width == 0 or tile_height == 0 or tile_left > left or tile_top > top:
        raise UndecodableImage("the JPEG 2000 header is corrupt; send the file again")
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    if tiles > MAX_TILES:
        raise UnsupportedImage(f"the JPEG 2000 has {tiles} tiles; send one of at most {MAX_TILES}")
    return right - left, bottom - top, (depth & 0x7F) + 1, bool(depth & 0x80)


def _coding_style(data: bytes, at: int) -> int:
    """Return the number of decomposition levels."""
    fields: tuple[int, ...] = struct.unpack_from(">BBHBBBB", data, at)
    style, _, layers, _, levels, block_width, block_height = fields
    precincts = struct.unpack_from(f">{levels + 1}B", data, at + 10) if style & 1 and levels <= 32 else ()
    small = any(min(size & 15, size >> 4) < 4 for size in precincts)
    if levels > 32 or layers > MAX_LAYERS or 2 ** (block_width + block_height + 4) < LEAST_CODE_BLOCK or small:
        raise UnsupportedImage("the JPEG 2000 has too small blocks or too many layers; send it as PNG")
    return levels
