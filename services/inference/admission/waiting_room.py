"""Connections that wait for their client without a thread: for a request's head, for an answer to be read, for an end.

Used by the thread of gunicorn's event loop alone.
"""

import logging
import selectors
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from shared import metrics

Why = Literal["silent", "idle", "unread", "crowded", "slow-body", "lingering"]
"""Reason why a waiting connection is ended.

`idle` and `lingering` are ordinary ends of a connection that was answered; the others are counted and logged.
"""

_ORDINARY: tuple[Why, ...] = ("idle", "lingering")
_LOOK_S, _LOG_S = 0.25, 10.0
_log = logging.getLogger("mammostack.inference")


@dataclass
class Wait:
    """A waiting connection: ended `patience` seconds after its last progress, or at `until` (monotonic seconds)."""

    why: Why
    until: float
    patience: float
    due: float = field(init=False)

    def __post_init__(self) -> None:
        self.progress()

    def progress(self) -> None:
        """Note that the client has done something."""
        self.due = min(self.until, time.monotonic() + self.patience)


class EndedConnections:
    """Counts connections that the service ended because of their client; logs the numbers every ten seconds."""

    def __init__(self) -> None:
        self._unlogged: Counter[str] = Counter()
        self._logged = -_LOG_S
        for why in get_args(Why):
            if why not in _ORDINARY:
                metrics.CONNECTIONS_ENDED.labels(why)  # the series exist from the start: the first one is an increase

    def count(self, why: Why, number: int = 1) -> None:
        """Count ended connections, unless that is how connections end ordinarily."""
        if number and why not in _ORDINARY:
            metrics.CONNECTIONS_ENDED.labels(why).inc(number)
            self._unlogged[why] += number

    def log(self) -> None:
        """Log what was counted since the last line, if it is time."""
        now = time.monotonic()
        if self._unlogged and now - self._logged >= _LOG_S:
            self._logged = now
            _log.warning("connections ended", extra=dict(self._unlogged))
            self._unlogged.clear()


class WaitingRoom:
    """The waiting connections (gunicorn's `TConn` with a `ClientSocket`), the oldest of each kind first.

    `close` is called with a connection that is to be closed, and whether its unsent bytes are to be dropped.
    """

    def __init__(self, poller: selectors.BaseSelector, close: Callable[[Any, bool], None]) -> None:
        self._poller, self._close = poller, close
        self._waits: dict[Any, Wait] = {}
        self._looked = 0.0
        self.ended = EndedConnections()

    def enter(self, conn: Any, wait: Wait, event: int, ready: Callable[[Any, Wait], None]) -> None:
        """Let a connection wait; `ready` is called whenever its `event` (readable or writable) has come."""
        conn.sock.setblocking(False)
        self._waits[conn] = wait

        def call(_socket: object) -> None:
            if self._waits.get(conn) is wait:  # not ended by an earlier event of the same turn of the loop
                ready(conn, wait)

        self._poller.register(conn.sock, event, call)

    def leave(self, conn: Any) -> None:
        """Take a connection out, to work for it or to close it."""
        if self._waits.pop(conn, None) is not None:
            with suppress(OSError, KeyError, ValueError):
                self._poller.unregister(conn.sock)

    def end(self, conn: Any, why: Why) -> None:
        """Take a connection out, close and count it."""
        self.leave(conn)
        self.ended.count(why)
        self._close(conn, why == "unread")

    def end_overdue(self) -> None:
        """End the connections that have waited too long; looks a few times a second however often it is called."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        for conn, wait in [(conn, wait) for conn, wait in self._waits.items() if wait.due <= now]:
            self.end(conn, wait.why)
        self.ended.log()

    def end_oldest(self) -> bool:
        """Make room: end the connection that has waited longest for a request or its end. Return False without one."""
        for whys in (("lingering", "silent"), ("idle",), ("unread",)):
            for conn, wait in self._waits.items():
                if wait.why in whys:
                    self.leave(conn)
                    self.ended.count("crowded")
                    self._close(conn, True)
                    return True
        return False

    def bound_unsent(self, most: int) -> None:
        """End the oldest connections whose client does not read, until at most `most` bytes are unsent together."""
        sending = [conn for conn, wait in self._waits.items() if wait.why == "unread"]
        unsent = sum(len(conn.sock.unsent) for conn in sending)
        for conn in sending:
            if unsent <= most:
                return
            unsent -= len(conn.sock.unsent)
            self.end(conn, "unread")

    def hurry_heads(self, by: float) -> None:
        """End connections without a request at `by` at the latest."""
        for wait in self._waits.values():
            if wait.why in ("silent", "idle"):
                wait.until = wait.due = min(wait.due, by)
