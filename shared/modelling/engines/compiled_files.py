"""Keep compiled networks in a folder, so that a process that starts again need not compile.

A file's name is a digest of what it was compiled from and for: the graph, the engine's release, the CPU and the number
format. Its content ends with its own digest, so that a damaged file is noticed and made again. Files are mapped, not
read: once the engine has packed the weights in its own way, the pages of the originals are given back.
"""

import hashlib
import mmap
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from shared.cpu import cpu

_DIGEST_BYTES = 32
_KEPT = 4
"""Compiled networks of the latest versions; older ones are deleted."""

_WRITTEN_WITHIN_S = 3600
"""Age beyond which an unfinished file is that of a process that was killed."""


class CompiledFiles:
    """The compiled networks in `folder`, which is made if necessary; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def mapped(self, key: str, compiled: Callable[[], bytes]) -> tuple[mmap.mmap, int]:
        """Map the file of a key, and return its length without the digest.

        The file is written by `compiled` if it is missing or damaged; where the folder can't be used, to an unnamed
        temporary file.

        Raises:
            OSError: there is no space for a temporary file either.
        """
        if self._folder is not None:
            path = self._folder / f"{key}.compiled"
            if (found := _map_intact(path)) is not None:
                return found
            content = compiled()
            with suppress(OSError):
                self._write(path, content)
            if (found := _map_intact(path)) is not None:
                return found
        else:
            content = compiled()
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            return _map(file.fileno()), len(content)

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            try:
                file.write(content)
                file.write(hashlib.sha256(content).digest())
                file.flush()
                os.replace(file.name, path)
            except OSError:
                os.unlink(file.name)
                raise
        files = sorted(path.parent.glob("*.compiled"), key=lambda each: each.stat().st_mtime, reverse=True)
        killed = [file for file in path.parent.glob(".*") if time.time() - file.stat().st_mtime > _WRITTEN_WITHIN_S]
        for old in (*files[_KEPT:], *killed):
            old.unlink(missing_ok=True)


def key_of(*parts: str) -> str:
    """Return a digest of what a network was compiled from and for, together with this CPU."""
    return hashlib.sha256("\n".join((*parts, cpu())).encode()).hexdigest()


def _map_intact(path: Path) -> tuple[mmap.mmap, int] | None:
    """Map a file of ours whose digest is right; None if there is none."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or status.st_size <= _DIGEST_BYTES:
                return None
            mapped = _map(file.fileno())
    except OSError:
        return None
    length = len(mapped) - _DIGEST_BYTES
    with memoryview(mapped) as content, content[:length] as body:
        intact = hashlib.sha256(body).digest() == bytes(content[length:])
    if not intact:
        mapped.close()
        return None
    with suppress(OSError):
        os.utime(path)
    return mapped, length


def _map(file: int) -> mmap.mmap:
    """Map a file privately: nothing is ever written, though OpenVINO takes writable memory only."""
    return mmap.mmap(file, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
