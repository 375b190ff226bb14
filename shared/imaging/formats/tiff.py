"""Read the one film of a TIFF (6.0 or BigTIFF): directory, layout and pixels.

libtiff leaves memory unwritten in layouts that a caller does not expect, so only those are passed on whose strips or
tiles are known to fill the image; every other one is refused from its directory, by the property that is in the way.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.errors import UndecodableImage, UnsupportedImage
from shared.imaging.image import check_size

MAX_DIRECTORIES = 64
_MAX_VALUES = 1_000_000

Tags: TypeAlias = dict[int, tuple[int, ...]]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 274, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _EXTRA, _SAMPLE_FORMAT = 322, 323, 324, 325, 338, 339
_NEW_SUBFILE, _SUBFILE = 254, 255
_TAGS = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIPS, _ORIENTATION, _SAMPLES),
    *(_ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES),
    *(_EXTRA, _SAMPLE_FORMAT, _NEW_SUBFILE, _SUBFILE),
}
_UNCOMPRESSED = 1
_COMPRESSIONS = {_UNCOMPRESSED: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits"}
_OTHER_COMPRESSIONS = {2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "old JPEG", 7: "JPEG", 33003: "JPEG 2000"}
_OTHER_COMPRESSIONS |= {33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard"}
_OTHER_COMPRESSIONS |= {34892: "lossy JPEG", 50001: "WebP", 50002: "JPEG XL"}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}


class ByteLayout(NamedTuple):
    """Formats (of `struct`) of a number of entries, an entry before its value, an offset."""

    order: str
    entries: str
    entry: str
    offset: str


@dataclass(frozen=True)
class Page:
    """The one film in a file: its directory, its size as stored, and its layout."""

    index: int
    width: int
    height: int
    bits: int
    channels: int
    inverted: bool
    orientation: int


def layout_of(data: bytes) -> ByteLayout:
    """Return the layout of a file's numbers, from its first four bytes."""
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(order + "H", data, 2)[0] == 43:
        return ByteLayout(order, order + "Q", order + "HHQ", order + "Q")
    return ByteLayout(order, order + "H", order + "HHI", order + "I")


def header(data: bytes) -> Page:
    """Return the one full-size image of a TIFF, all of whose strips or tiles are there.

    Raises:
        UndecodableImage: it is truncated or corrupt.
        UnsupportedImage: it has another layout, or several films.
        ImageTooLarge: it has more than MAX_PIXELS.
    """
    try:
        pages = list(enumerate(_directories(data)))
        full = [(index, tags) for index, tags in pages if not _is_reduced(tags)] or pages[:1]
        if len(full) > 1:
            raise UnsupportedImage(f"the TIFF holds {len(full)} images; send one film per file")
        index, tags = full[0]
        page = _page(index, tags)
        check_size(page.width, page.height)
        _check_parts(data, tags, page)
    except (struct.error, KeyError, IndexError, ValueError) as error:
        raise UndecodableImage("the TIFF's directory is truncated or incomplete; send the file again") from error
    return page


def decode(data: bytes, page: Page) -> npt.NDArray[np.uint8 | np.uint16]:
    """Decode a page as it is stored: H x W, or H x W x channels.

    Raises:
        UndecodableImage: its data are damaged or incomplete.
    """
    # Imported when the first one comes, as everything that is seldom needed and takes long to import.
    import imagecodecs  # noqa: PLC0415

    shape = (page.height, page.width) if page.channels == 1 else (page.height, page.width, page.channels)
    pixels = np.zeros(shape, np.uint8 if page.bits == 8 else np.uint16)
    try:
        imagecodecs.tiff_decode(data, index=page.index, out=pixels)
    except Exception:  # noqa: BLE001  libtiff's words may quote the file
        raise UndecodableImage("the TIFF's data are damaged or incomplete; send the file again") from None
    return np.asarray(~pixels if page.inverted else pixels)


def _directories(data: bytes) -> list[Tags]:
    layout = layout_of(data)
    directories: list[Tags] = []
    visited: set[int] = set()
    (position,) = struct.unpack_from(layout.offset, data, 4 if layout.offset[1] == "I" else 8)
    while position:
        if position in visited or len(visited) == MAX_DIRECTORIES:
            raise UnsupportedImage(f"the TIFF has more than {MAX_DIRECTORIES} directories; send one film per file")
        visited.add(position)
        tags, position = directory(data, position, layout, _TAGS)
        directories.append(tags)
    return directories


def directory(data: bytes, position: int, layout: ByteLayout, selected: set[int]) -> tuple[Tags, int]:
    """Read whole-number tags of a directory, and the offset of the next (0: none).

    Raises:
        struct.error, KeyError, IndexError: the directory is not whole.
    """
    if position > len(data):  # which an offset of 64 bits may be by more than Python can count
        raise IndexError
    (count,) = struct.unpack_from(layout.entries, data, position)
    first, value = position + struct.calcsize(layout.entries), struct.calcsize(layout.entry)
    step = value + struct.calcsize(layout.offset)
    if count * step > len(data):
        raise IndexError
    tags = {}
    for at in range(first, first + count * step, step):
        tag, kind, number = struct.unpack_from(layout.entry, data, at)
        if tag in selected:
            tags[tag] = _values(data, layout, kind, number, at + value)
    return tags, struct.unpack_from(layout.offset, data, first + count * step)[0]


def _values(data: bytes, layout: ByteLayout, kind: int, number: int, position: int) -> tuple[int, ...]:
    """Read the values of an entry: in place if they fit there, else at an offset."""
    if not 0 < number <= min(len(data), _MAX_VALUES):
        raise IndexError
    codes = f"{layout.order}{number}{_CODES[kind]}"
    if struct.calcsize(codes) > struct.calcsize(layout.offset):
        (position,) = struct.unpack_from(layout.offset, data, position)
        if position > len(data):
            raise IndexError
    return struct.unpack_from(codes, data, position)


def _is_reduced(tags: Tags) -> bool:
    """Return True for a thumbnail or a mask of another image in the file."""
    return bool(tags.get(_NEW_SUBFILE, (0,))[0] & 5) or tags.get(_SUBFILE) == (2,)


def _page(index: int, tags: Tags) -> Page:
    """Return the page of a directory; refuse a layout unless libtiff fills it."""
    photometric, samples = tags[_PHOTOMETRIC][0], tags.get(_SAMPLES, (1,))[0]
    bits, formats = set(tags.get(_BITS, (1,))), set(tags.get(_SAMPLE_FORMAT, (1,)))
    compression, extra = tags.get(_COMPRESSION, (1,))[0], len(tags.get(_EXTRA, ()))
    colours = 3 if photometric == _RGB else 1
    unsupported = {
        f"{sorted(bits)[0]} bits per sample, not 8 or 16": bits not in ({8}, {16}),
        "signed or floating-point samples": formats != {1},
        f"the compression {_OTHER_COMPRESSIONS.get(compression, compression)}": compression not in _COMPRESSIONS,
        "its samples in separate planes (PlanarConfiguration 2)": tags.get(_PLANAR, (1,)) != (1,),
        "its bits in reverse order (FillOrder 2)": tags.get(_FILL_ORDER, (1,)) != (1,),
        "an unsupported predictor": tags.get(_PREDICTOR, (1,)) not in {(1,), (2,)},
        "a palette or colours other than RGB": photometric not in {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB},
        "white as 0 (WhiteIsZero) at 16 bits": photometric == _WHITE_IS_ZERO and bits == {16},
        "more samples per pixel than a film has": samples != colours + extra or extra > 1,
    }
    for problem, holds in unsupported.items():
        if holds:
            raise UnsupportedImage(f"the TIFF has {problem}; send it as PNG")
    orientation = tags.get(_ORIENTATION, (1,))[0]
    inverted = photometric == _WHITE_IS_ZERO
    return Page(index, tags[_WIDTH][0], tags[_HEIGHT][0], bits.pop(), samples, inverted, orientation)


def _check_parts(data: bytes, tags: Tags, page: Page) -> None:
    """Raise unless the strips or tiles cover the whole image and lie within the file."""
    if _TILES in tags:
        width, height = tags[_TILE_WIDTH][0], tags[_TILE_HEIGHT][0]
        if width % 16 or height % 16 or not 0 < width < page.width + 1024 or not 0 < height < page.height + 1024:
            raise UnsupportedImage("the TIFF has tiles of an odd size; send it as PNG")
        offsets, sizes = tags[_TILES], tags[_TILE_BYTES]
        count, row = -(-page.width // width) * -(-page.height // height), width
        heights = [height] * count
    else:
        rows = min(tags.get(_ROWS_PER_STRIP, (page.height,))[0], page.height)
        offsets, sizes = tags[_STRIPS], tags[_STRIP_BYTES]
        count, row = -(-page.height // rows) if rows > 0 else 0, page.width
        heights = [rows] * (count - 1) + [page.height - rows * (count - 1)]
    if not len(offsets) == len(sizes) == count:
        raise UndecodableImage("the TIFF's strips or tiles do not cover its image; send the file again")
    if any(start + size > len(data) or not size for start, size in zip(offsets, sizes, strict=True)):
        raise UndecodableImage("the TIFF's pixel data are truncated; send the file again")
    stored = page.channels * page.bits // 8 * row
    if tags.get(_COMPRESSION, (1,)) == (_UNCOMPRESSED,) and any(
        size < stored * height for size, height in zip(sizes, heights, strict=True)
    ):
        raise UndecodableImage("the TIFF has too few bytes for its image; send the file again")
