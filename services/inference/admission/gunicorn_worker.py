"""gunicorn's threaded worker, made so that no client can keep its threads from the others.

A connection gets a thread when the head of its request has come, and gives it back when the answer has been made:
heads are received, answers sent and unread bodies thrown away by the event loop (`waiting_room`), each within a time.
The body of a request has to come within MAMMO_SERVE_RECEIVE_S; a connection that takes longer is shut down, and the
thread that reads from it goes on. Probes have threads of their own. When there are too many connections, the one
that has waited longest for its client is closed.

A body of known length is received in one piece, for every piece waits for the interpreter, which the requests at work
want as well.
"""

import errno
import selectors
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from flask import request
from gunicorn import util
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from services.inference.admission.client_socket import READ_WITHIN_S, ClientSocket
from services.inference.admission.refused_heads import refusal
from services.inference.admission.waiting_room import Wait, WaitingRoom

HEADERS_S = 10.0
NOTIFY_S = 1.0
SEND_S, UNREAD_S = 60.0, READ_WITHIN_S
"""So long a client may take to read an answer, and so long it may read nothing meanwhile."""
UNSENT_MOST = 64 << 20
"""Bytes of answers that wait to be read, of all clients together."""
LINGER_S, SILENT_S = 10.0, 2.0
"""So long an unread body is thrown away behind the answer, and so long a client may send nothing meanwhile."""
PROBE_THREADS = 2
CROWDED_BY = 16
"""With so few connections left below gunicorn's bound, those that wait for their client make room."""

_PROBES = tuple(
    f"{method} {path}".encode() for method in ("GET", "HEAD") for path in ("/healthz", "/readyz", "/v2/health/")
)
_HEAD_ENDS, _LONGEST_HEAD = b"\r\n\r\n", 1 << 16
_PIECE = 1 << 16
_FULL = (errno.EMFILE, errno.ENFILE)
_COMES_TO_NOTHING = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)


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

    def shut_down_overdue(self) -> int:
        """Shut down such connections, so that a thread that reads from one goes on; return how many there were."""
        now = time.monotonic()
        with self._lock:
            overdue = [connection for connection, deadline in self._of.items() if deadline < now]
            for connection in overdue:
                del self._of[connection]
        for connection in overdue:
            with suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)
        return len(overdue)


deadlines = Deadlines()
_at_work: dict[socket.socket, Any] = {}
"""gunicorn's own request of a connection, while the application answers it."""


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    _notified = 0.0

    def init_process(self) -> None:
        """Make the threads for probes; the event loop does not return from here."""
        self._probe_threads = ThreadPoolExecutor(PROBE_THREADS, thread_name_prefix="probe")
        super().init_process()

    def run(self) -> None:
        """Run the event loop until the worker is stopped."""
        self._room = WaitingRoom(self.poller, self._close)
        super().run()
        self._probe_threads.shutdown(wait=False)

    def notify(self) -> None:
        """Report liveness to gunicorn's arbiter once a second.

        It costs a write to the file system, so it is not done at every turn of the loop that serves all requests.
        """
        now = time.monotonic()
        if now - self._notified >= NOTIFY_S:
            self._notified = now
            super().notify()

    # ---- in the thread of the event loop

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and wait for the head of its request."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in _FULL:
                self._room.end_oldest()
                return
            if error.errno in _COMES_TO_NOTHING:
                return
            raise
        self.nr_conns += 1
        conn = TConn(self.cfg, ClientSocket(accepted), address, listener.getsockname())
        conn.early = b""
        self._await_head(conn, Wait("silent", time.monotonic() + HEADERS_S, HEADERS_S))
        while self.nr_conns > self.worker_connections - CROWDED_BY and self._room.end_oldest():
            pass

    def _await_head(self, conn: Any, wait: Wait) -> None:
        self._room.enter(conn, wait, selectors.EVENT_READ, self._receive_head)

    def _receive_head(self, conn: Any, wait: Wait) -> None:
        piece = _received(conn.sock)
        if piece is None:
            return
        conn.early += piece
        if not piece:
            self._room.end(conn, "idle")
        elif _has_head(conn.early):
            self._room.leave(conn)
            self.enqueue_req(conn)
        elif wait.why == "idle":  # of a request that has begun
            wait.why, wait.until = "silent", time.monotonic() + HEADERS_S
            wait.progress()

    def enqueue_req(self, conn: Any) -> None:
        """Have the request of a connection answered by a thread."""
        conn.is_probe = conn.early.startswith(_PROBES)
        threads = self._probe_threads if conn.is_probe else self.tpool
        threads.submit(self.handle, conn).add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def finish_request(self, conn: Any, fs: "Future[bool]") -> None:
        """Send the rest of the answer, then wait for the next request or for the client to hang up."""
        keep = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        if conn.sock.fileno() < 0:  # closed by gunicorn
            self.nr_conns -= 1
        elif conn.sock.unsent:
            conn.keep = keep
            self._room.enter(
                conn, Wait("unread", time.monotonic() + SEND_S, UNREAD_S), selectors.EVENT_WRITE, self._send
            )
            self._room.bound_unsent(UNSENT_MOST)
        else:
            self._after_answer(conn, keep)

    def _send(self, conn: Any, wait: Wait) -> None:
        try:
            if conn.sock.send_more():
                wait.progress()
        except OSError:
            self._room.end(conn, "idle")
            return
        if not conn.sock.unsent:
            self._room.leave(conn)
            self._after_answer(conn, conn.keep)

    def _after_answer(self, conn: Any, keep: bool) -> None:
        if keep and _has_head(conn.early):
            self.enqueue_req(conn)
        elif keep:
            seconds = self.cfg.keepalive if self.alive else min(self.cfg.keepalive, STOP_KEEPALIVE_LINGER)
            self._await_head(conn, Wait("idle", time.monotonic() + seconds, seconds))
        else:
            with suppress(OSError):
                conn.sock.shutdown(socket.SHUT_WR)
            wait = Wait("lingering", time.monotonic() + LINGER_S, SILENT_S)
            self._room.enter(conn, wait, selectors.EVENT_READ, self._throw_away)

    def _throw_away(self, conn: Any, wait: Wait) -> None:
        """Receive what a client still sends behind its answer, until it ends."""
        piece = _received(conn.sock)
        if piece:
            wait.progress()
        elif piece is not None:
            self._room.end(conn, "lingering")

    def _close(self, conn: Any, drop: bool) -> None:
        self.nr_conns -= 1
        if drop:
            conn.sock.reset()
        else:
            conn.close()

    def murder_pending(self) -> None:
        """End the connections that are overdue; called at every turn of the event loop, once a second at least."""
        self._room.end_overdue()
        self._room.ended.count("slow-body", deadlines.shut_down_overdue())

    def _cap_keepalive(self, deadline: float) -> None:
        self._room.hurry_heads(deadline)

    # ---- in the thread of a request

    def handle(self, conn: Any) -> bool:
        """Answer the request whose head is in `conn.early`; what came behind it is there afterwards."""
        conn.data_ready = True
        conn.init()
        conn.parser.unreader.unread(conn.early)
        conn.early = b""
        deadlines.begin(conn.sock, HEADERS_S)
        try:
            answered = super().handle(conn) is True
        finally:
            deadlines.end(conn.sock)
        if answered:
            conn.early = conn.parser.unreader.take_buffered()
        return answered

    def handle_error(self, _req: Any, client: Any, _address: Any, exc: Exception) -> None:
        """Answer a request that can't be handed to the application with a problem document."""
        with suppress(OSError):  # it has hung up
            util.write_nonblock(client, refusal(exc))

    def handle_request(self, req: Any, conn: Any) -> Any:
        _at_work[conn.sock] = req
        try:
            return super().handle_request(req, conn)
        finally:
            del _at_work[conn.sock]


def hang_up_after_answer() -> None:
    """End the connection of the request that is being answered; the rest of its body is not the next request.

    gunicorn passes over a `Connection` header of the application.
    """
    if (of_gunicorn := _at_work.get(request.environ.get("gunicorn.socket"))) is not None:  # type: ignore[arg-type]
        of_gunicorn.must_close = True


def _has_head(received: bytes) -> bool:
    """Return whether a request's head is complete, or so long that it is to be refused."""
    return _HEAD_ENDS in received or len(received) >= _LONGEST_HEAD


def _received(connection: socket.socket) -> bytes | None:
    """Return bytes that have come; none if the connection has ended, None if it has not."""
    try:
        return connection.recv(_PIECE, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""
