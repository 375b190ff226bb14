"""Variables of glibc's malloc for image processing and for training; they hold for a process that starts with them.

By default an array of more than 128 KB is returned to the system when it is freed and comes back page by page: a fifth
of the time of preprocessing, a tenth of an augmentation worker's. In addition each thread has an arena that keeps the
memory of its largest image: half as much again after some minutes under load. Other C libraries ignore the variables.
The images of deploy/docker/Dockerfile set the same.
"""

import ctypes
import sys
from contextlib import suppress

KEPT, UNUSED = 16 << 20, 64 << 20
"""Bytes: arrays up to the first are kept when they are freed, and at most the second of what nothing uses."""

_FEWEST_ARENAS = 2


def film_variables(threads: int = 1) -> dict[str, str]:
    """Return what keeps freed memory, shared by at most `threads`, in a process that works on films."""
    return {
        "MALLOC_ARENA_MAX": str(max(_FEWEST_ARENAS, threads)),
        "MALLOC_MMAP_THRESHOLD_": str(KEPT),
        "MALLOC_TRIM_THRESHOLD_": str(UNUSED),
    }


TRAINING_VARIABLES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
"""All freed memory is kept: every step frees its gradients and allocates the same amount again. For AlexNet, whose
largest layer has 150 MB of them, page faults took a fifth of a step."""


def return_freed_memory() -> None:
    """Return freed memory to the system: after loading a network, glibc keeps the size of its weights."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
