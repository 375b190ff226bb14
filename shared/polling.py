"""Waiting for a condition, or for a server that is away."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from shared.errors import QueueUnavailable, StoreUnavailable

T = TypeVar("T")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 10.0


def wait_until(
    condition: Callable[[], bool], seconds: float, check: Callable[[], None] = lambda: None, pause_s: float = 0.1
) -> bool:
    """Return True once `condition()` is true, False if it is not within `seconds`.

    `check` is called at every poll; it raises if waiting is useless.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        check()
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
    return True


def wait_for_server(call: Callable[[], T], server: str, log: logging.Logger) -> T:
    """Return the result of `call` once the broker or the store answers.

    Each attempt that fails logs a warning. Errors other than QueueUnavailable and StoreUnavailable pass.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return call()
        except (QueueUnavailable, StoreUnavailable) as error:
            log.warning("waiting for %s", server, extra={"reason": str(error)})
        time.sleep(pause_s)
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
