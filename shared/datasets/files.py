"""Files of a data set in a folder or tar archive, listed once and read in any order.

A compressed archive is unpacked once, into a temporary file, and its checksum is verified before any file is read.
"""

import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Protocol

from shared.errors import DatasetError

_COMPRESSED: dict[bytes, type[gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)


class SourceFile(NamedTuple):
    """A file: its name from the top of the data set, with `/`, and what changes when its content does."""

    name: str
    size: int
    modified: float

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem


class SourceFiles(Protocol):
    """Files of a data set; thread-safe."""

    path: Path

    def list(self) -> Iterator[SourceFile]:
        """List all files: of a folder by name, of an archive in its order, in which a name may occur twice."""

    def read(self, file: SourceFile, at_most: int | None = None) -> bytes:
        """Read a file that was listed, or its first bytes.

        Raises:
            DatasetError: it is gone or damaged.
        """


def open_files(path: Path) -> SourceFiles:
    """Open a folder or a tar archive, compressed or not.

    Raises:
        DatasetError: `path` is neither, or the archive is damaged.
    """
    if not path.exists():
        raise DatasetError(str(path), "there is no such folder or archive; check the path")
    if path.is_dir():
        return FolderFiles(path)
    with _undamaged(path):
        if not tarfile.is_tarfile(path):
            raise DatasetError(str(path), "is neither a folder nor a tar archive; give the folder or a .tar.gz of it")
        return ArchiveFiles(path)


class FolderFiles:
    """All files below a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def list(self) -> Iterator[SourceFile]:
        for file in sorted(self.path.rglob("*")):
            if file.is_file():
                found = file.stat()
                yield SourceFile(file.relative_to(self.path).as_posix(), found.st_size, found.st_mtime)

    def read(self, file: SourceFile, at_most: int | None = None) -> bytes:
        try:
            with (self.path / file.name).open("rb") as opened:
                return opened.read(-1 if at_most is None else at_most)
        except OSError as error:
            raise DatasetError(file.name, f"can't be read ({error.strerror}); check the file") from error


class ArchiveFiles:
    """All files of a tar archive."""

    def __init__(self, path: Path) -> None:
        """Read the headers of the archive, after unpacking a compressed one.

        Raises:
            DatasetError: the archive is damaged.
        """
        self.path = path
        with _undamaged(path):
            self._file = _uncompressed(path)
            with tarfile.open(fileobj=self._file) as archive:
                members = [member for member in archive if member.isfile()]
        self._listed = [SourceFile(each.name, each.size, float(each.mtime)) for each in members]
        self._places = {file: each.offset_data for file, each in zip(self._listed, members, strict=True)}

    def list(self) -> Iterator[SourceFile]:
        return iter(self._listed)

    def read(self, file: SourceFile, at_most: int | None = None) -> bytes:
        wanted = file.size if at_most is None else min(file.size, at_most)
        with _undamaged(self.path):
            data = os.pread(self._file.fileno(), wanted, self._places[file])
            if len(data) < wanted:
                raise EOFError("it ends within a file")
        return data


def _uncompressed(path: Path) -> IO[bytes]:
    file = path.open("rb")
    start = file.read(6)
    file.seek(0)
    opened = next((kind for magic, kind in _COMPRESSED.items() if start.startswith(magic)), None)
    if opened is None:
        return file
    unpacked: IO[bytes] = tempfile.TemporaryFile(prefix="mammo-archive-")  # noqa: SIM115  it is read until the end
    with file, opened(path, "rb") as packed:
        shutil.copyfileobj(packed, unpacked, 2**20)
    unpacked.seek(0)
    return unpacked


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise DatasetError(str(path), f"the archive is damaged ({error}); download it again") from error
