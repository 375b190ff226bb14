"""What glibc's malloc does by default costs much where images are worked on; here it is told otherwise.

An array of more than 128 KB is given back to the system when it is freed and comes back page by page: a fifth of the
time of preprocessing, a tenth of an augmentation worker's. And each thread gets memory of its own, which keeps what
the largest image has taken in it: after some minutes under load half as much again.
"""

import ctypes
import sys
from contextlib import suppress

KEPT, UNUSED = 16 << 20, 64 << 20
"""Bytes: arrays up to the first are kept when they are freed, and at most the second of what nothing uses."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8  # malloc.h
_NEVER = 2**31 - 1


def keep_freed_memory(threads: int) -> None:
    """For this process and those that it forks. Memory is shared by as many `threads` as work at a time, at least two;
    nothing happens with another C library."""
    _tell_malloc({_M_ARENA_MAX: max(2, threads), _M_MMAP_THRESHOLD: KEPT, _M_TRIM_THRESHOLD: UNUSED})


def keep_all_memory() -> None:
    """For a process that trains: every step frees its gradients and asks for as much again. A fifth of the time of a
    step of AlexNet, whose largest layer has 150 MB of them, went into getting them from the system page by page."""
    _tell_malloc({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER})


def _tell_malloc(options: dict[int, int]) -> None:
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for option, value in options.items():
            libc.mallopt(option, value)
