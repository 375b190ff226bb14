"""Bounds the bytes of request bodies that one process holds at a time, over all requests together.

A request reserves what it is about to bring before it is read, and gives it back when it has been answered. So memory
and /tmp are never filled by many large requests at once: whoever finds no room is refused with 429 and Retry-After.
"""

import threading
from dataclasses import dataclass, field

from services.inference.admission.queueing import Overloaded
from shared import metrics

_RETRY_S = 2
"""About the time that a request of several large films is in hand."""


@dataclass
class BytesInHand:
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
            Overloaded: there is no room for so many more.
        """
        with self._lock:
            if size > 0 and self._held + size > self.most:
                raise Overloaded(f"the service holds as many bytes as it may; try again in {_RETRY_S} s", _RETRY_S)
            self._held += size
        metrics.BYTES_IN_HAND.inc(size)


@dataclass
class Share:
    """The part of the room that one request has taken."""

    room: BytesInHand
    size: int = 0

    def grow_to(self, size: int) -> None:
        """Reserve up to `size` bytes in all. Raises Overloaded."""
        if size > self.size:
            self.room.change(size - self.size)
            self.size = size

    def give_back(self) -> None:
        """Give back all of it; may be called again."""
        size, self.size = self.size, 0
        self.room.change(-size)
