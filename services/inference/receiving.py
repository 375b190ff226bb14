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
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from flask import Flask, g, request
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.exceptions import ClientDisconnected

from services.inference.bodies import PIECE, bounded, check_coding, check_size, decoded, read_form
from services.inference.in_hand import BytesInHand, Share
from services.inference.lanes import Overloaded
from shared import metrics
from shared.errors import InputError
from shared.settings import Settings

HEADERS_S = 10.0
NOTIFY_S = 1.0
AT_ONCE_S = 0.25
LINGER_S, SILENT_S = 10.0, 2.0
"""So long an unread body is thrown away behind the answer, and so long a client may send nothing meanwhile."""

FORM = "multipart/form-data"
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


_deadlines = Deadlines()
_at_work: dict[socket.socket, Any] = {}
"""gunicorn's own request of a connection, while the application answers it."""


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    _notified = 0.0
    _waiting = 0
    """Threads that wait for the next request of their connection, nearly: it is counted without a lock."""

    def notify(self) -> None:
        """Tells gunicorn's arbiter that this worker lives: once a second, and not at every turn of the loop that all
        requests go through, for it costs a write to the file system."""
        now = time.monotonic()
        if now - self._notified >= NOTIFY_S:
            self._notified = now
            super().notify()

    def handle(self, conn: Any) -> Any:
        """Answers the requests of a connection as long as the next one comes at once."""
        while True:
            _deadlines.begin(conn.sock, HEADERS_S)
            try:
                answered = super().handle(conn)
            finally:
                _deadlines.end(conn.sock)
            if answered is not True or not self._comes_at_once(conn):
                return answered

    def _comes_at_once(self, conn: Any) -> bool:
        """Waits for the next request, or for the end of the connection, unless too many do so or the worker ends."""
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
        """Called about once a second, for connections that have sent nothing yet."""
        super().murder_pending()
        _deadlines.shut_down_overdue()


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


def receive_in_time(app: Flask, config: Settings, room: BytesInHand) -> None:
    """Read the body of every request that was let in, before its route is called.

    It has to come within MAMMO_SERVE_RECEIVE_S, within its bound (MAMMO_MAX_REQUEST_MB for a form of films, else
    MAMMO_MAX_IMAGE_MB), and find room among the bytes in hand. `g.form` is then the form, or `g.body` the body's bytes.
    """

    @app.before_request
    def receive() -> None:
        if request.routing_exception is not None:
            return  # it is answered unread
        g.share = Share(room)
        connection = request.environ.get("gunicorn.socket")
        if connection is not None:  # not in a test
            _deadlines.begin(connection, config.serve_receive_s)
        try:
            _receive(config, g.share)
        except (ParseException, ClientDisconnected, OSError) as error:
            raise InputError("the body does not come as HTTP says it must; send the request again") from error
        except Overloaded as error:
            metrics.REFUSALS.labels(error.code).inc()
            raise
        finally:
            if connection is not None:
                _deadlines.end(connection)
        g.received = True

    @app.teardown_request
    def give_back(_error: BaseException | None) -> None:
        for name in ("form", "body"):
            g.pop(name, None)
        if (share := g.pop("share", None)) is not None:
            share.give_back()


def _receive(config: Settings, share: Share) -> None:
    is_form, length = request.mimetype == FORM, request.content_length
    most, setting = (
        (config.max_request_mb << 20, "MAMMO_MAX_REQUEST_MB")
        if is_form
        else (config.max_image_mb << 20, "MAMMO_MAX_IMAGE_MB")
    )
    coding = check_coding(request.headers.get("Content-Encoding", ""))
    if length:
        check_size(length, most, setting)
        share.grow_to(length)
    pieces = bounded(decoded(_pieces(), coding), most, setting, share.grow_to)
    if is_form:
        g.form = read_form(pieces, request.mimetype_params.get("boundary", ""), config.max_image_mb << 20)
        for _ in pieces:  # a form may have ended before its body
            pass
    else:
        g.body = b"".join(pieces)


def _pieces() -> Iterator[bytes]:
    """The body of the request, as it comes."""
    connection, body = request.environ.get("gunicorn.socket"), request.environ["wsgi.input"]
    if connection is not None and request.content_length and isinstance(body.reader, LengthReader):
        return pieces_of(body, connection)
    return iter(lambda: request.stream.read(PIECE), b"")


def pieces_of(body: Body, connection: socket.socket) -> Iterator[bytes]:
    """A body of known length of which nothing was read, by as few calls as the system makes of it.

    werkzeug reads in pieces of 64 KB, and for each of them gunicorn copies what is left.

    Raises:
        ClientDisconnected: the connection has ended before.
        OSError: it has broken.
    """
    reader = body.reader
    early = reader.unreader.take_buffered()
    missing = reader.length - len(early)
    reader.unreader.unread(early[reader.length :])  # of the next request
    body.failed = True
    if early[: reader.length]:
        yield early[: reader.length]
    while missing > 0:
        piece = connection.recv(min(missing, PIECE), socket.MSG_WAITALL)
        if not piece:
            raise ClientDisconnected
        missing -= len(piece)
        yield piece
    reader.length, body.failed = 0, False
