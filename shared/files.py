"""Files that other processes read while they are written, and the room for them."""

import logging
import os
import tempfile
import time
from pathlib import Path

METRICS_ROOM = 8 << 20
"""Bytes that the files of the metrics of one process may take: prometheus_client makes up to eight, of 1 MiB."""

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
        folder: where the files are made.
        needed: in bytes.
        log: gets a warning before each pause; pauses grow to half a minute.
    """
    attempt = 0
    while (reason := _lack_of_room(folder, needed)) is not None:
        advice = "free some there, or name another folder in PROMETHEUS_MULTIPROC_DIR"
        log.warning("%s has no room for %d bytes (%s); %s", folder, needed, reason, advice)
        time.sleep(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)])
        attempt += 1


def _lack_of_room(folder: Path, needed: int) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        return error.strerror or str(error)
    return None
