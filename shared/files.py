"""Files that other processes read while they are written, and the room for them."""

import errno
import logging
import os
import tempfile
import time
from pathlib import Path

from shared.errors import InputError

METRICS_ROOM = 8 << 20
"""Bytes that the files of the metrics of one process may take: prometheus_client makes up to eight, of 1 MiB."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that readers find its old content, or all of its new one."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(file)


def memory_folder() -> str | None:
    """Return a folder in memory, which holds no uploads and no training data; None where there is none."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  tempfile makes the names


def wait_for_room(folder: Path, needed: int, log: logging.Logger) -> None:
    """Wait until a folder has room for files that are mapped: a write to a page without room kills its process.

    Args:
        folder: where the files are made; it is made where it is missing.
        needed: in bytes.
        log: gets a warning before each pause; pauses grow to half a minute.

    Raises:
        InputError: the folder takes no files for another reason, which time does not change.
    """
    attempt = 0
    while (reason := _lack_of_room(folder, needed)) is not None:
        advice = "free some there, or name another folder in PROMETHEUS_MULTIPROC_DIR"
        log.warning("%s has no room for %d bytes (%s); %s", folder, needed, reason, advice)
        time.sleep(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)])
        attempt += 1


def _lack_of_room(folder: Path, needed: int) -> str | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            return reason
        raise InputError(
            f"PROMETHEUS_MULTIPROC_DIR: no file can be made in {folder} ({reason}); name a folder that this process "
            "may write to"
        ) from error
    return None
