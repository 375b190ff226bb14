"""Limit the total size of request bodies in one process.

A request reserves its size before its body is read, and releases it after the response. Many large requests at once
therefore fill neither memory nor /tmp: a request without room is rejected with 503 and Retry-After.
"""

import threading
from dataclasses import dataclass, field

from services.inference.admission.queueing import Overloaded
from shared import metrics

_RETRY_S = 2
"""About the time that a request of several large films is in hand."""


class NoRoom(Overloaded):
    """There is no memory for the request's body now; `retry_after_s` says when there should be."""

    code = "no-room"
    http_status = 503


@dataclass
class ByteBudget:
    """The room for bodies of one process. Safe to use from several threads."""

    most: int
    _held: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def held(self) -> int:
        return self._held

    def change(self, size: int) -> None:
        """Reserve `size` more bytes, or give back as many where it is negative.

        Raises:
            NoRoom: there is no room for so many more.
        """
        with self._lock:
            if size > 0 and self._held + size > self.most:
                raise NoRoom(f"the service's memory for request bodies is full; try again in {_RETRY_S} s", _RETRY_S)
            self._held += size
        metrics.BYTES_IN_HAND.inc(size)


@dataclass
class Reservation:
    """The part of the room that one request has taken."""

    room: ByteBudget
    size: int = 0

    def grow_to(self, size: int) -> None:
        """Reserve up to `size` bytes in all. Raises NoRoom."""
        if size > self.size:
            self.room.change(size - self.size)
            self.size = size

    def give_back(self) -> None:
        """Give back all of it; may be called again."""
        size, self.size = self.size, 0
        self.room.change(-size)
