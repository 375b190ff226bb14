"""Writes TIFF files of any layout for tests: strips or tiles, several pages, BigTIFF, and headers without pixels."""

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[Any]
Page = tuple[dict[int, Sequence[int]], list[bytes]]
"""Tags, and the strips or tiles that 273 or 324 point to."""

COMPRESSIONS: dict[int, Callable[[bytes], bytes]] = {
    1: bytes,
    5: lambda strip: bytes(imagecodecs.lzw_encode(strip)),
    8: zlib.compress,
    32946: zlib.compress,
    32773: lambda strip: bytes(imagecodecs.packbits_encode(strip)),
}


def page(
    pixels: Samples,
    *,
    rows: int = 16,
    tile: tuple[int, int] | None = None,
    compression: int = 1,
    predictor: int = 1,
    order: str = "<",
    **tags: int | Sequence[int],
) -> Page:
    """A page of pixels (H x W, or H x W x channels) in strips of `rows`, or in tiles (width, height); `tags` such as
    t262 set others, or take one away with ()."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    cut = pixels.reshape(height, width, channels).astype(pixels.dtype.newbyteorder(order))
    if tile is None:
        parts = [cut[top : top + rows] for top in range(0, height, rows)]
        layout: dict[int, Sequence[int]] = {278: [rows]}
    else:
        across, down = tile
        padded = np.pad(cut, ((0, -height % down), (0, -width % across), (0, 0)))
        tops, lefts = range(0, height, down), range(0, width, across)
        parts = [padded[top : top + down, left : left + across] for top in tops for left in lefts]
        layout = {322: [across], 323: [down]}
    encoded = [COMPRESSIONS[compression](_predicted(part, predictor).tobytes()) for part in parts]
    found: dict[int, Sequence[int]] = {
        256: [width],
        257: [height],
        258: [8 * pixels.itemsize] * channels,
        259: [compression],
        262: [1 if channels == 1 else 2],
        277: [channels],
        284: [1],
        317: [predictor],
        **layout,
        **{int(name[1:]): [value] if isinstance(value, int) else value for name, value in tags.items()},
    }
    return {tag: values for tag, values in found.items() if values}, encoded


def _predicted(part: Samples, predictor: int) -> Samples:
    if predictor == 1:
        return part
    differences = part.copy()
    differences[:, 1:] = part[:, 1:] - part[:, :-1]
    return differences


def tiff(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """A file of the pages, one directory behind the other."""
    mark = b"II" if order == "<" else b"MM"
    body = mark + (struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8))
    for index, (tags, parts) in enumerate(pages):
        body += _directory(tags, parts, len(body), order, big, last=index + 1 == len(pages))
    return body


def _directory(
    tags: dict[int, Sequence[int]], parts: list[bytes], start: int, order: str, big: bool, *, last: bool
) -> bytes:
    """A directory at `start`, with the values that do not fit into it and its strips or tiles behind it."""
    place, lengths = (324, 325) if 322 in tags else (273, 279)
    every = {**tags, place: [0] * len(parts), lengths: [len(part) for part in parts]}
    count, entry, offset = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    inside = struct.calcsize(order + offset)
    end = start + struct.calcsize(order + count) + len(every) * (struct.calcsize(order + entry) + inside) + inside
    at = end + sum(4 * len(values) for values in every.values() if 4 * len(values) > inside)
    every[place] = [at + sum(map(len, parts[:number])) for number in range(len(parts))]
    directory, outside = struct.pack(order + count, len(every)), b""
    for tag in sorted(every):
        packed = struct.pack(f"{order}{len(every[tag])}I", *every[tag])
        directory += struct.pack(order + entry, tag, 4, len(every[tag]))
        if len(packed) > inside:
            directory += struct.pack(order + offset, end + len(outside))
            outside += packed
        else:
            directory += packed.ljust(inside, b"\0")
    following = 0 if last else at + sum(map(len, parts))
    return directory + struct.pack(order + offset, following) + outside + b"".join(parts)
