"""gunicorn's threaded worker, made to bear slow clients and to be quick with fast ones.

The headers of a request have to come within HEADERS_S, its body within MAMMO_SERVE_RECEIVE_S; a connection that takes
longer is shut down, and the thread that waits for it goes on. What the application does afterwards has no such bound.
A client that asks again at once keeps its thread, and a body of known length is received in one piece: every change of
threads and every piece waits for the interpreter, which the requests at work want as well.
"""

import select
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from flask import request
from gunicorn.workers.gthread import ThreadWorker

HEADERS_S = 10.0
NOTIFY_S = 1.0
AT_ONCE_S = 0.25
LINGER_S, SILENT_S = 10.0, 2.0
"""So long an unread body is thrown away behind the answer, and so long a client may send nothing meanwhile."""
WAITING_PART = 4
"""One thread in so many may wait for the next request of its connection; the others are there for whoever comes."""


class Deadlines:
    """By when the requests that are being received must have come. Safe to use from several threads."""

    def __init__(self) -> None:
        self._of: dict[socket.socket, float] = {}
        self._lock = threading.Lock()

    def begin(self, connection: socket.socket, seconds: float) -> None:
        """From now on, again where it was begun before."""
        with self._lock:
            self._of[connection] = time.monotonic() + seconds

    def end(self, connection: socket.socket) -> None:
        with self._lock:
            self._of.pop(connection, None)

    def shut_down_overdue(self) -> None:
        """Whoever reads from such a connection finds it ended."""
        now = time.monotonic()
        with self._lock:
            overdue = [connection for connection, deadline in self._of.items() if deadline < now]
            for connection in overdue:
                del self._of[connection]
        for connection in overdue:
            with suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)


deadlines = Deadlines()
_at_work: dict[socket.socket, Any] = {}
"""gunicorn's own request of a connection, while the application answers it."""


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    _notified = 0.0
    _waiting = 0
    """Threads that wait for the next request of their connection, nearly: it is counted without a lock."""

    def notify(self) -> None:
        """Report liveness to gunicorn's arbiter once a second.

        It costs a write to the file system, so it is not done at every turn of the loop that serves all requests.
        """
        now = time.monotonic()
        if now - self._notified >= NOTIFY_S:
            self._notified = now
            super().notify()

    def handle(self, conn: Any) -> Any:
        """Answers the requests of a connection as long as the next one comes at once."""
        while True:
            deadlines.begin(conn.sock, HEADERS_S)
            try:
                answered = super().handle(conn)
            finally:
                deadlines.end(conn.sock)
            if answered is not True or not self._comes_at_once(conn):
                return answered

    def _comes_at_once(self, conn: Any) -> bool:
        """Wait for the next request or the end of the connection.

        Returns at once if too many connections wait or the worker is stopping.
        """
        if not self.alive or self._waiting >= self.cfg.threads // WAITING_PART:
            return False
        if conn.parser.unreader.buf.getvalue():  # it was sent behind the one before, and has been read
            return True
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        self._waiting += 1
        try:
            return bool(poll.poll(AT_ONCE_S * 1000))
        finally:
            self._waiting -= 1

    def handle_request(self, req: Any, conn: Any) -> Any:
        _at_work[conn.sock] = req
        try:
            keep = super().handle_request(req, conn)
        finally:
            del _at_work[conn.sock]
        if req.must_close:
            throw_away(conn.sock)
        return keep

    def murder_pending(self) -> None:
        """Close connections that have sent nothing; called about once a second."""
        super().murder_pending()
        deadlines.shut_down_overdue()


def hang_up_after_answer() -> None:
    """End the connection of the request that is being answered; the rest of its body is not the next request.

    gunicorn passes over a `Connection` header of the application.
    """
    if (of_gunicorn := _at_work.get(request.environ.get("gunicorn.socket"))) is not None:  # type: ignore[arg-type]
        of_gunicorn.must_close = True


def throw_away(connection: socket.socket) -> None:
    """Receive what a client still sends behind its answer, until it ends, falls silent or LINGER_S are over."""
    until, scratch = time.monotonic() + LINGER_S, bytearray(1 << 16)
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(SILENT_S)
        while connection.recv_into(scratch) and time.monotonic() < until:
            pass
