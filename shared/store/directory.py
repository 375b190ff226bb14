"""The object store in a directory: objects are files below it."""

import errno
import fcntl
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from shared import metrics
from shared.digests import sha256_hex
from shared.errors import (
    InputError,
    ObjectNotFound,
    PreconditionFailed,
    StoreError,
    StoreMisconfigured,
    StoreUnavailable,
)
from shared.store.interface import ObjectEntry, StoredObject

ABANDONED_AFTER = 60.0  # seconds; a living writer has long finished its partial file by then


class DirectoryStore:
    """Objects as files below `root`; a file gets its name only when it is complete."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        with _translated("MAMMO_STORE"):
            (self.root / ".partial").mkdir(parents=True, exist_ok=True)

    def read(self, key: str) -> StoredObject:
        data = self.get(key)
        return StoredObject(data, sha256_hex(data))

    def get(self, key: str) -> bytes:
        with _reading(key):
            return self._file(key).read_bytes()

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        target = self._path(key)
        partial = f"{self.root}/.partial/{_partial_prefix(key)}{uuid.uuid4().hex}.partial"
        with _translated(key):
            if not target.parent.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    os.fchmod(descriptor, 0o644)  # whatever the umask: the other services' users read it
                    file.write(data)
                if if_absent:
                    os.link(partial, target)  # fails where the name is taken: the file system's own compare-and-swap
                elif if_match is not None:
                    self._replace_if(target, partial, if_match, key)
                else:
                    os.replace(partial, target)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(partial)
        return sha256_hex(data)

    def _replace_if(self, target: Path, partial: str, etag: str, key: str) -> None:
        with (self.root / ".partial" / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists() or self.read(key).etag != etag:
                raise PreconditionFailed(f"{key}: another process has written it meanwhile; try again")
            os.replace(partial, target)

    def exists(self, key: str) -> bool:
        with suppress(ObjectNotFound), _reading(key):
            return self._file(key).is_file()
        return False

    def size(self, key: str) -> int:
        return self.entry(key).size

    def entry(self, key: str) -> ObjectEntry:
        with _reading(key):
            found = self._file(key).stat()
        if not stat.S_ISREG(found.st_mode):
            raise ObjectNotFound(key)
        return ObjectEntry(key, found.st_mtime, found.st_size)

    def entries(self, prefix: str) -> Iterator[ObjectEntry]:
        base = self._path(prefix) if prefix else self.root
        found = (
            (Path(folder) / name).relative_to(self.root).as_posix()
            for folder, _, names in os.walk(base, onerror=_unless_gone)
            for name in names
        )
        with _translated(prefix or "MAMMO_STORE"):
            keys = sorted(key for key in found if not key.startswith(".partial/"))
        for key in keys:
            with suppress(ObjectNotFound), _translated(key):  # deleted since it was found
                status = (self.root / key).stat(follow_symlinks=False)
                yield ObjectEntry(key, status.st_mtime, status.st_size)

    def list(self, prefix: str) -> Iterator[str]:
        return (entry.key for entry in self.entries(prefix))

    def delete(self, key: str) -> None:
        with _translated(key):
            self._path(key).unlink(missing_ok=True)

    def discard_partial(self, prefix: str) -> int:
        discarded = 0
        with _translated(prefix):
            for path in (self.root / ".partial").glob(f"{_partial_prefix(prefix)}*.partial"):
                with suppress(FileNotFoundError):  # its writer has just finished
                    if time.time() - path.stat().st_mtime > ABANDONED_AFTER:
                        path.unlink()
                        discarded += 1
        return discarded

    def locate(self, key: str) -> str:
        return str(self._path(key))

    def _file(self, key: str) -> Path:
        """Return the file of an object to be read.

        Raises:
            ObjectNotFound: it is a link that leaves the folder of the key's first part: what lies there is no object.
        """
        path = self._path(key)
        if path.is_symlink():
            home = (self.root / key.partition("/")[0]).resolve()
            if not path.resolve().is_relative_to(home):
                raise ObjectNotFound(key)
        return path

    def _path(self, key: str) -> Path:
        if not key or key.startswith("/") or ".." in key.split("/"):
            raise InputError(f"'{key}' is not a store key")
        return self.root / key


def _partial_prefix(key: str) -> str:
    """Return the common prefix of the partial files of `key` and of longer keys."""
    return quote(key, safe="")[:200]  # a file name holds 255 bytes; longer keys share it with their neighbours


def _unless_gone(error: OSError) -> None:
    """Pass on why a folder can't be listed; one that is gone, or no folder, holds nothing."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _counted(error: StoreError) -> StoreError:
    metrics.STORE_ERRORS.labels(error.code).inc()
    return error


@contextmanager
def _reading(key: str) -> Iterator[None]:
    """As `_translated`; and what can't be a file is no object, as it is none on S3."""
    with _translated(key):
        try:
            yield
        except NotADirectoryError:
            raise ObjectNotFound(key) from None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise ObjectNotFound(key) from None
            raise


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Convert file system errors to errors of the store."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError):
        raise ObjectNotFound(key) from None
    except NotADirectoryError as error:
        raise _counted(StoreMisconfigured(f"{key}: {error.filename} is below a file; check MAMMO_STORE")) from error
    except FileExistsError:
        raise PreconditionFailed(f"{key}: it exists already") from None
    except PermissionError as error:
        raise _counted(
            StoreMisconfigured(f"{key}: {error.strerror}; check owner and permissions of the directory in MAMMO_STORE")
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _counted(StoreUnavailable(f"{key}: {error.strerror}; free some space")) from error
        if error.errno == errno.EROFS:
            reason = f"{key}: {error.strerror}; mount the directory of MAMMO_STORE for writing"
            raise _counted(StoreMisconfigured(reason)) from error
        if error.errno == errno.ENAMETOOLONG:
            raise
        raise _counted(
            StoreUnavailable(f"{key}: {error.strerror or error}; check the file system of the directory in MAMMO_STORE")
        ) from error
