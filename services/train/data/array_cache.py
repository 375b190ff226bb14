"""A cache of memory-mapped arrays on disk: training inputs are computed by one job and mapped by the next ones.

Arrays lie in the temporary folder (TMPDIR), so that the page cache holds only what is in use. Without space on disk an
array is made in memory, if it is small. The cache belongs to one user; only the most recently used arrays are kept. A
file is a `.npy` with the digest of its array behind it, which a process checks once; a damaged array is filled again.
"""

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import psutil

from services.train.data.examples import StoredInputs
from shared.errors import MammoError

NumberType = TypeVar("NumberType", bound=np.number[Any])
KEPT = 8
"""Number of arrays in the cache."""

_DIGEST, _HASHED_AT_ONCE = 64, 2**24  # bytes
_SHARE_OF_MEMORY = 0.5
"""Of the memory that is free, which an array without room on disk may take."""

_checked: set[int] = set()
"""Inodes of the files whose digests this process has checked."""


class NoRoomForArray(MammoError):
    """Neither the temporary folder nor the memory has room for an array; another machine may have it."""

    code = "no-room-for-array"
    retryable = True


def cached_array(
    name: str, shape: tuple[int, ...], rows: Callable[[], Iterable[npt.NDArray[NumberType]]], dtype: type[NumberType]
) -> npt.NDArray[NumberType]:
    """Return the array `name`, read-only and mapped, or fill it from `rows` if it is not cached.

    `name` must identify the content, such as a digest of everything that it is computed from. An exception of `rows`
    is passed on, and no partial array is kept.

    Raises:
        NoRoomForArray: there is no space for it on disk, and too little memory.
    """
    if (cached := array_in_cache(name, shape, dtype)) is not None:
        return cached
    if (folder := _own_folder()) is None:
        return _in_memory(shape, rows, dtype)
    partial = folder / f"{name}.{os.getpid()}.part"
    try:
        try:
            array = _allocated(partial, shape, dtype)
        except OSError:
            return _in_memory(shape, rows, dtype)  # no space on disk
        _fill(array, rows())
        array.flush()
        _append_digest(partial, array)
        partial.replace(folder / f"{name}.npy")
        _delete_stale(folder)
        return np.asarray(array)
    finally:
        partial.unlink(missing_ok=True)


def array_in_cache(name: str, shape: tuple[int, ...], dtype: type[NumberType]) -> npt.NDArray[NumberType] | None:
    """Return the array `name`, read-only and mapped; None if it is not cached or damaged."""
    if (folder := _own_folder()) is None:
        return None
    file = folder / f"{name}.npy"
    if (cached := _mapped(file, shape, dtype)) is not None:
        file.touch()
    return cached


def _own_folder() -> Path | None:
    """Return the folder of the cache, made if it is not there; None if it is another user's, which is not trusted."""
    folder = Path(tempfile.gettempdir()) / f"mammostack-arrays-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return None if folder.is_symlink() or folder.stat().st_uid != os.getuid() else folder


def _allocated(
    file: Path, shape: tuple[int, ...], dtype: type[NumberType]
) -> "np.memmap[tuple[int, ...], np.dtype[NumberType]]":
    """Create an array with all of its pages allocated: writing to a page without space would kill the process."""
    array = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    with file.open("r+b") as opened:
        os.posix_fallocate(opened.fileno(), 0, file.stat().st_size + _DIGEST)
    return array


def _append_digest(file: Path, array: StoredInputs) -> None:
    with file.open("r+b") as opened:
        opened.seek(-_DIGEST, os.SEEK_END)
        opened.write(_digest(array).encode())


def _digest(array: StoredInputs) -> str:
    digest, content = hashlib.sha256(), array.reshape(-1).view(np.uint8)
    for start in range(0, len(content), _HASHED_AT_ONCE):
        digest.update(content[start : start + _HASHED_AT_ONCE].data)
    return digest.hexdigest()


def _mapped(file: Path, shape: tuple[int, ...], dtype: type[NumberType]) -> npt.NDArray[NumberType] | None:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        digest, inode = _last_bytes(file), file.stat().st_ino
    except (OSError, ValueError, EOFError):
        return None
    if array.shape != shape or array.dtype != dtype:
        return None
    if inode not in _checked and _digest(array).encode() != digest:
        return None
    _checked.add(inode)
    return np.asarray(array)


def _last_bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        opened.seek(-_DIGEST, os.SEEK_END)
        return opened.read()


def _in_memory(
    shape: tuple[int, ...], rows: Callable[[], Iterable[npt.NDArray[NumberType]]], dtype: type[NumberType]
) -> npt.NDArray[NumberType]:
    size, free = math.prod(shape) * np.dtype(dtype).itemsize, psutil.virtual_memory().available
    if size > _SHARE_OF_MEMORY * free:
        raise NoRoomForArray(
            f"{tempfile.gettempdir()} has no room for an array of {size / 2**30:.1f} GiB, and the {free / 2**30:.1f} "
            "GiB of free memory are too little; set TMPDIR to a folder with more room"
        )
    array = np.empty(shape, dtype)
    _fill(array, rows())
    return array


def _fill(array: npt.NDArray[NumberType], rows: Iterable[npt.NDArray[NumberType]]) -> None:
    for index, row in enumerate(rows):
        array[index] = row


def _delete_stale(folder: Path) -> None:
    """Delete all but the last used arrays and the partial files of dead processes.

    Processes that still map a deleted file keep it.
    """
    for file in folder.glob("*.part"):
        if not psutil.pid_exists(int(file.name.split(".")[-2])):
            file.unlink(missing_ok=True)
    arrays = sorted(folder.glob("*.npy"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in arrays[KEPT:]:
        file.unlink(missing_ok=True)
