"""Who may work when: one request a core at a time, the others wait in a bounded queue, in the order they came.

A request keeps its own HTTP thread: a lane is the right to work, and not another thread that would have to be woken.
Beyond the queue's bound a request is refused at once, with the time after which it stands a chance.

Lanes may have a core each. While all of them are taken, a thread keeps to the core of its lane: where two of them woke
on the same one, the system was seen to leave the other idle for a good part of the work.
"""

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from shared.errors import MammoError


class Overloaded(MammoError):
    """The queue is full; `retry_after_s` says when it should have room."""

    code = "overloaded"
    retryable = True
    http_status = 429

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many requests wait already; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class DeadlinePassed(MammoError):
    """The request was not begun in the time that its sender gave it."""

    code = "deadline-passed"
    http_status = 504


class ClientGone(MammoError):
    """Nobody waits for the answer any more; nothing was computed."""

    code = "client-gone"
    http_status = 499


@dataclass(frozen=True)
class Turn:
    """The right to work. `alone` says that no other request was at work or waiting when it began."""

    alone: bool
    waited_s: float


class _Ticket(threading.Event):
    """Of one who asks for a lane; set when it is called, and then `lane` is its own."""

    lane = 0

    def call(self, lane: int) -> None:
        self.lane = lane
        self.set()


class Lanes:
    """`lanes` requests work at a time, at most `waiting` wait. `cores` are those of the lanes, or none."""

    def __init__(self, lanes: int, waiting: int, cores: Sequence[int] = ()) -> None:
        self.lanes = lanes
        self._free = list(range(lanes))
        self._cores = cores
        self._most_waiting = waiting
        self._queue: deque[_Ticket] = deque()
        self._lock = threading.Lock()
        self._mean_s = 0.1

    @contextmanager
    def turn(self, deadline_s: float | None = None, is_gone: Callable[[], bool] = lambda: False) -> Iterator[Turn]:
        """Waits for a lane and holds it for the block.

        Args:
            deadline_s: seconds from now within which the work has to begin.
            is_gone: asked when the turn comes: whether the client has left.

        Raises:
            Overloaded: too many wait already.
            DeadlinePassed: no lane became free in time.
            ClientGone: the turn came, and nobody waits for the answer.
        """
        came = time.monotonic()
        ticket = self._enter()
        if not ticket.wait(deadline_s) and not self._leave_queue(ticket):
            raise DeadlinePassed(f"no lane became free within {deadline_s:g} s; try again when less is going on")
        began = time.monotonic()
        try:
            if is_gone():
                raise ClientGone("the client has closed its connection")
            with self._lock:
                alone = len(self._free) == self.lanes - 1 and not self._queue
                own = None if self._free or not self._cores else self._cores[ticket.lane]
            with _kept_to(own):
                yield Turn(alone, began - came)
        finally:
            self._pass_on(ticket.lane, time.monotonic() - began)

    @property
    def depth(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    def _enter(self) -> _Ticket:
        """A ticket that has been called already, where a lane is free, or will be in its turn."""
        ticket = _Ticket()
        with self._lock:
            if self._free:
                ticket.call(self._free.pop())
            elif len(self._queue) >= self._most_waiting:
                raise Overloaded(math.ceil((len(self._queue) + 1) * self._mean_s / self.lanes))
            else:
                self._queue.append(ticket)
        return ticket

    def _leave_queue(self, ticket: _Ticket) -> bool:
        """Gives a ticket up; True when it was called in that very moment, and the lane is ours after all."""
        with self._lock:
            if ticket.is_set():
                return True
            self._queue.remove(ticket)
            return False

    def _pass_on(self, lane: int, took_s: float) -> None:
        with self._lock:
            self._mean_s += 0.1 * (took_s - self._mean_s)
            if self._queue:
                self._queue.popleft().call(lane)
            else:
                self._free.append(lane)


def cores_for(lanes: int) -> tuple[int, ...]:
    """A core for each lane, or none where this process may not use exactly as many: it shares them then."""
    may_use = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return tuple(may_use) if len(may_use) == lanes else ()


@contextmanager
def _kept_to(core: int | None) -> Iterator[None]:
    """Keeps the thread to a core for the block, if there is one to keep to."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    with suppress(OSError):  # the core has been taken away from the container meanwhile
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, before)
