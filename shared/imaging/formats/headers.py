"""Read the headers of PGM and PNG, and find truncation, before memory is allocated.

Those of JPEG are read in `codestreams.py`, because DICOM holds them too, and those of TIFF in `tiff.py`. Each function
takes a whole file and returns a Header, or raises UndecodableImage (truncated or corrupt) or UnsupportedImage (a kind
that is not read).
"""

import re
import struct
import zlib
from dataclasses import dataclass, replace

from shared.errors import UndecodableImage, UnsupportedImage


@dataclass(frozen=True)
class Header:
    """Header of a PGM or PNG.

    `maxval` is the highest sample that the file declares, `offset` the first byte of a PGM's pixels (0 elsewhere), and
    `exif` a PNG's block of Exif data.
    """

    width: int
    height: int
    maxval: int
    offset: int = 0
    exif: bytes = b""


def pgm(data: bytes) -> Header:
    """Read the header of Netpbm's binary grey map (P5), which may have comments."""
    gap = rb"(?:\s|#[^\n\r]*[\n\r])"
    match = re.match(rb"P5%b+(\d{1,9})%b+(\d{1,9})%b+(\d{1,9})(?:#[^\n\r]*)?\s" % (gap, gap, gap), data[:4096])
    if match is None:
        raise UndecodableImage("the PGM header is not 'P5 width height maxval'; send the file again")
    width, height, maxval = (int(field) for field in match.groups())
    if not 0 < maxval < 2**16:
        raise UndecodableImage(f"the PGM's maxval is {maxval}, not 1 to 65535; send the file again")
    return Header(width, height, maxval, match.end())


def png(data: bytes) -> Header:
    """Read the header of a PNG (ISO/IEC 15948) with one image, and check all its CRCs."""
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
            header = Header(width, height, 2**bits - 1)
        if kind == b"acTL" and length == 8 and struct.unpack_from(">I", data, position + 8)[0] > 1:
            raise UnsupportedImage("the PNG is animated; send one film per file")
        if kind == b"eXIf":
            header = replace(header, exif=data[position + 8 : end])
        if kind == b"IEND":
            return header
        position = end + 4
