"""Configure glibc's malloc for image processing.

By default an array of more than 128 KB is returned to the system when it is freed and comes back page by page: a fifth
of the time of preprocessing, a tenth of an augmentation worker's. In addition each thread has an arena that keeps the
memory of its largest image: half as much again after some minutes under load.
"""

import ctypes
import sys
from contextlib import suppress

KEPT, UNUSED = 16 << 20, 64 << 20
"""Bytes: arrays up to the first are kept when they are freed, and at most the second of what nothing uses."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8  # malloc.h
_NEVER = 2**31 - 1


def keep_freed_memory(threads: int) -> None:
    """Keep freed memory in this process and its forks, shared by at most `threads`.

    At least two arenas are used. Nothing is changed with another C library.
    """
    _tell_malloc({_M_ARENA_MAX: max(2, threads), _M_MMAP_THRESHOLD: KEPT, _M_TRIM_THRESHOLD: UNUSED})


def keep_all_memory() -> None:
    """Keep all freed memory in a training process.

    Every step frees its gradients and allocates the same amount again. For AlexNet, whose largest layer has 150 MB of
    them,
    page faults took a fifth of a step.
    """
    _tell_malloc({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER})


def return_freed_memory() -> None:
    """Return freed memory to the system: after loading a network, glibc keeps the size of its weights."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def _tell_malloc(options: dict[int, int]) -> None:
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for option, value in options.items():
            libc.mallopt(option, value)
