"""Times things against each other on one core, by turns, so that a machine that gets slower slows all of them.

What is told is the time of the processor, which other work on the machine disturbs the least. Nothing here waits, so on
a quiet machine it is the time that passes.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median

from shared.allocator import film_variables

Work = Callable[[], object]


def keep_to_one_core() -> None:
    """This process stays on one core, and OpenCV with it; memory is kept as in our services, for all sides alike."""
    restart_with(film_variables())
    import cv2

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)


def restart_with(variables: Mapping[str, str]) -> None:
    """Start this process anew with variables that must be there at its start, unless they are."""
    if any(os.environ.get(name) != value for name, value in variables.items()):
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **variables})  # noqa: S606


def milliseconds(sides: Mapping[str, Work], seconds: float = 3.0, least: int = 5) -> dict[str, float]:
    """The median time of each side. All are called once before, then in turn: for `seconds`, and `least` times."""
    for work in sides.values():
        work()
    seen: dict[str, list[float]] = {name: [] for name in sides}
    began, rounds = time.perf_counter(), 0
    while rounds < least or time.perf_counter() - began < seconds:
        for name, work in sides.items():
            start = time.process_time()
            work()
            seen[name].append((time.process_time() - start) * 1000)
        rounds += 1
    return {name: median(times) for name, times in seen.items()}
