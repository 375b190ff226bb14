"""What networks learn from as one memory-mapped array for each data set and recipe, filled once
and read by every job after it.

The arrays lie in the temporary folder (TMPDIR moves it), so that the machine keeps in memory what is in use, no more.
Where there is no room for one, it is made in memory. A folder of arrays belongs to one user; the last few are kept.
"""

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import psutil

Float = TypeVar("Float", bound=np.floating)
KEPT = 8
"""Arrays that stay, the last used ones."""


def filled(
    name: str, shape: tuple[int, ...], rows: Callable[[], Iterable[npt.NDArray[Float]]], form: type[Float]
) -> npt.NDArray[Float]:
    """The array `name` (numbers of a `form`, read-only where it is mapped), filled from `rows` unless it is there.

    `name` has to say all that decides its content. Whatever `rows` raises goes on to the caller, and leaves nothing.
    """
    folder = Path(tempfile.gettempdir()) / f"mammostack-arrays-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return _in_memory(shape, rows, form)  # somebody else's: what lies in it is not to be trusted
    target = folder / f"{name}.npy"
    if (found := _mapped(target, shape, form)) is not None:
        target.touch()
        return found
    part = folder / f"{name}.{os.getpid()}.part"
    try:
        try:
            array = _allocated(part, shape, form)
        except OSError:
            return _in_memory(shape, rows, form)  # there is no room
        _fill(array, rows())
        array.flush()
        part.replace(target)
        _forget_old(folder)
        return np.asarray(array)
    finally:
        part.unlink(missing_ok=True)


def _allocated(file: Path, shape: tuple[int, ...], form: type[Float]) -> "np.memmap[tuple[int, ...], np.dtype[Float]]":
    """A new array whose every page has its place: writing to one that has none would end the process."""
    array = np.lib.format.open_memmap(file, mode="w+", dtype=form, shape=shape)
    with file.open("r+b") as opened:
        os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    return array


def _mapped(file: Path, shape: tuple[int, ...], form: type[Float]) -> npt.NDArray[Float] | None:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return np.asarray(array) if array.shape == shape and array.dtype == form else None


def _in_memory(
    shape: tuple[int, ...], rows: Callable[[], Iterable[npt.NDArray[Float]]], form: type[Float]
) -> npt.NDArray[Float]:
    array = np.empty(shape, form)
    _fill(array, rows())
    return array


def _fill(array: npt.NDArray[Float], rows: Iterable[npt.NDArray[Float]]) -> None:
    for index, row in enumerate(rows):
        array[index] = row


def _forget_old(folder: Path) -> None:
    """Who has an old one mapped keeps it; its place is free when he is done. What a killed process began goes too."""
    for file in folder.glob("*.part"):
        if not psutil.pid_exists(int(file.name.split(".")[-2])):
            file.unlink(missing_ok=True)
    arrays = sorted(folder.glob("*.npy"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in arrays[KEPT:]:
        file.unlink(missing_ok=True)
