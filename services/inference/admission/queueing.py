"""Who may work when: a few requests at a time, the others wait in a bounded queue, in the order they came.

A request keeps its own HTTP thread: a slot is the right to work, and not another thread that would have to be woken.
Beyond the queue's bound a request is refused at once, with the time after which it stands a chance.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.errors import MammoError

IN_HAND = 2
"""Requests that are in hand at a time for each core: while one waits for the interpreter, the other works."""


class Overloaded(MammoError):
    """There is no room, in the queue or for the bytes; `retry_after_s` says when there should be."""

    code = "overloaded"
    retryable = True
    http_status = 429

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlinePassed(MammoError):
    """The request was not begun in the time that its sender gave it."""

    code = "deadline-passed"
    http_status = 504


class ClientGone(MammoError):
    """The client closed its connection; nothing was computed."""

    code = "client-gone"
    http_status = 499


@dataclass(frozen=True)
class Slot:
    """The right to work. `alone` says that no other request was at work or waiting when it began."""

    alone: bool
    waited_s: float


class AdmissionQueue:
    """`slots` requests work at a time, at most `waiting` wait."""

    def __init__(self, slots: int, waiting: int) -> None:
        self.slots = slots
        self._free = slots
        self._most_waiting = waiting
        self._queue: deque[threading.Event] = deque()
        self._lock = threading.Lock()
        self._mean_s = 0.1

    @contextmanager
    def slot(self, deadline_s: float | None = None, is_gone: Callable[[], bool] = lambda: False) -> Iterator[Slot]:
        """Wait for a slot and hold it for the block.

        Args:
            deadline_s: seconds from now within which the work has to begin.
            is_gone: called when the slot is free; returns True if the client has left.

        Raises:
            Overloaded: the queue is full.
            DeadlinePassed: no slot became free in time.
            ClientGone: the client has left.
        """
        came = time.monotonic()
        ticket = self._enter()
        if not ticket.wait(deadline_s) and not self._leave_queue(ticket):
            raise DeadlinePassed(f"the request waited {deadline_s:g} s without being processed; try again later")
        began = time.monotonic()
        try:
            if is_gone():
                raise ClientGone("the client has closed its connection")
            with self._lock:
                alone = self._free == self.slots - 1 and not self._queue
            yield Slot(alone, began - came)
        finally:
            self._pass_on(time.monotonic() - began)

    @property
    def depth(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    def _enter(self) -> threading.Event:
        """Return a ticket that is set now if a slot is free, else when its turn comes."""
        ticket = threading.Event()
        with self._lock:
            if self._free:
                self._free -= 1
                ticket.set()
            elif len(self._queue) >= self._most_waiting:
                wait_s = math.ceil((len(self._queue) + 1) * self._mean_s / self.slots)
                raise Overloaded(f"too many requests are waiting; try again in {wait_s} s", wait_s)
            else:
                self._queue.append(ticket)
        return ticket

    def _leave_queue(self, ticket: threading.Event) -> bool:
        """Give up a ticket; return True if it was called meanwhile and holds a slot."""
        with self._lock:
            if ticket.is_set():
                return True
            self._queue.remove(ticket)
            return False

    def _pass_on(self, took_s: float) -> None:
        with self._lock:
            self._mean_s += 0.1 * (took_s - self._mean_s)
            if self._queue:
                self._queue.popleft().set()
            else:
                self._free += 1
