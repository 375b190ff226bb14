"""gunicorn's threaded worker, made to bear slow clients: one that dribbles its request must not keep a thread for good.

The headers of a request have to come within HEADERS_S, its body within MAMMO_SERVE_RECEIVE_S; a connection that takes
longer is shut down, and the thread that waits for it goes on. What the application does afterwards has no such bound.
"""

import socket
import threading
import time
from contextlib import suppress
from typing import Any

from flask import Flask, g, request
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.exceptions import ClientDisconnected

from shared.errors import InputError

HEADERS_S = 10.0


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


_deadlines = Deadlines()


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    def handle(self, conn: Any) -> Any:
        _deadlines.begin(conn.sock, HEADERS_S)
        try:
            return super().handle(conn)
        finally:
            _deadlines.end(conn.sock)

    def murder_pending(self) -> None:
        """Called about once a second, for connections that have sent nothing yet."""
        super().murder_pending()
        _deadlines.shut_down_overdue()


def receive_in_time(app: Flask, seconds: float) -> None:
    """Reads the body of every request that was let in, within `seconds`, before its route is called."""

    @app.before_request
    def receive() -> None:
        connection = request.environ.get("gunicorn.socket")
        if connection is None:  # not under gunicorn: a test
            return
        _deadlines.begin(connection, seconds)
        try:
            request.get_data(cache=True)
        except (ParseException, ClientDisconnected, OSError) as error:
            g.hang_up = True
            raise InputError("the body does not come as HTTP says it must; send the request again") from error
        finally:
            _deadlines.end(connection)
