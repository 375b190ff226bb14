"""Reads the headers of PGM, PNG and TIFF: what a film will need is known, and truncation found, before memory is taken.
Those of JPEG are read in `codestreams.py`, because DICOM holds them too.

Each function takes a whole file and returns a Header, or raises UndecodableImage (truncated or corrupt) or
UnsupportedImage (a variety of the format that is not read).
"""

import re
import struct
import zlib
from dataclasses import dataclass

from shared.errors import UndecodableImage, UnsupportedImage


@dataclass(frozen=True)
class Header:
    """`bits` is the depth of a sample as the file declares it, `offset` where a PGM's pixels begin (0 elsewhere)."""

    width: int
    height: int
    bits: int
    offset: int = 0


def pgm(data: bytes) -> Header:
    """Netpbm's binary grey map (P5); comments are allowed wherever white space is."""
    gap = rb"(?:\s|#[^\n\r]*[\n\r])"
    match = re.match(rb"P5%b+(\d{1,9})%b+(\d{1,9})%b+(\d{1,9})(?:#[^\n\r]*)?\s" % (gap, gap, gap), data[:4096])
    if match is None:
        raise UndecodableImage("the PGM header is not 'P5 width height maxval'; send the file again")
    width, height, maxval = (int(field) for field in match.groups())
    if not 0 < maxval < 2**16:
        raise UndecodableImage(f"the PGM's maxval is {maxval}, not 1 to 65535; send the file again")
    return Header(width, height, max(8, maxval.bit_length()), match.end())


def png(data: bytes) -> Header:
    """PNG (ISO/IEC 15948). Every chunk's CRC is checked, up to IEND."""
    position, header = 8, None
    while True:
        if position + 12 > len(data):
            raise UndecodableImage("the PNG ends before its IEND chunk; send the file again")
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise UndecodableImage("the PNG ends within a chunk; send the file again")
        if zlib.crc32(memoryview(data)[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise UndecodableImage("a checksum in the PNG is wrong; send the file again")
        kind = data[position + 4 : position + 8]
        if header is None:
            if kind != b"IHDR" or length != 13:
                raise UndecodableImage("the PNG does not begin with its IHDR chunk; send the file again")
            width, height, bits = struct.unpack_from(">IIB", data, position + 8)
            header = Header(width, height, bits)
        if kind == b"IEND":
            return header
        position = end + 4


def tiff(data: bytes) -> Header:
    """TIFF 6.0, the file's first image, grey or colour with 8 or 16 bits; all its strips or tiles must be there."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (first,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, first)
        entries = [struct.unpack_from(order + "HHI", data, first + 2 + 12 * index) for index in range(count)]
        tags = {
            tag: _tiff_values(data, order, kind, number, first + 10 + 12 * index)
            for index, (tag, kind, number) in enumerate(entries)
            if tag in {256, 257, 258, 262, 273, 279, 324, 325}  # size, bits, meaning of 0, strips, tiles
        }
        # Behind the entries stands a link to the next image, which must be there as well.
        struct.unpack_from(order + "I", data, first + 2 + 12 * count)
        header = Header(tags[256][0], tags[257][0], max(tags.get(258, (1,))))
        offsets, sizes = tags.get(273) or tags[324], tags.get(279) or tags[325]
    except (struct.error, KeyError, IndexError) as error:
        raise UndecodableImage("the TIFF's directory is truncated or incomplete; send the file again") from error
    if header.bits not in {8, 16}:
        raise UnsupportedImage(f"the TIFF has {header.bits} bits a sample, not 8 or 16; send it as PNG")
    if header.bits == 16 and tags.get(262) == (0,):
        raise UnsupportedImage("the TIFF's 0 is white, which is not read at 16 bits; send it as PNG")
    if any(start + size > len(data) for start, size in zip(offsets, sizes, strict=False)):
        raise UndecodableImage("the TIFF ends before its pixels do; send the file again")
    return header


def _tiff_values(data: bytes, order: str, kind: int, number: int, position: int) -> tuple[int, ...]:
    """The values of a directory entry: in place when they fit into four bytes, otherwise where those four point to."""
    code = {1: "B", 3: "H", 4: "I"}[kind]
    if not 0 < number <= len(data):
        raise IndexError
    layout = f"{order}{number}{code}"
    if struct.calcsize(layout) > 4:
        (position,) = struct.unpack_from(order + "I", data, position)
    return struct.unpack_from(layout, data, position)
