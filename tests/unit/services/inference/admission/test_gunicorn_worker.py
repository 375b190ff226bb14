"""A connection that takes too long to send is shut down, others are left alone; a client that asks again at once keeps
its thread."""

import socket
from types import SimpleNamespace

import pytest
from gunicorn.http.unreader import SocketUnreader

from services.inference.admission.client_socket import ClientSocket
from services.inference.admission.gunicorn_worker import Deadlines, Worker
from tests.support.bodies import Pair

END = b"\r\n\r\n"


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True


class TestDeadlines:
    def test_who_is_overdue_is_shut_down_once(self, pair: Pair) -> None:
        server, client = pair
        deadlines = Deadlines()
        deadlines.begin(server, -1)
        assert deadlines.shut_down_overdue() == 1
        assert not is_open(client)
        assert deadlines.shut_down_overdue() == 0

    def test_who_has_time_left_or_has_ended_is_left_alone(self, pair: Pair) -> None:
        server, client = pair
        deadlines = Deadlines()
        deadlines.begin(server, 60)
        deadlines.shut_down_overdue()
        assert is_open(client)
        deadlines.begin(server, -1)
        deadlines.end(server)
        deadlines.shut_down_overdue()
        assert is_open(client)

    def test_a_connection_that_is_gone_already_does_no_harm(self, pair: Pair) -> None:
        server, client = pair
        client.close()
        server.close()
        deadlines = Deadlines()
        deadlines.begin(server, -1)
        deadlines.shut_down_overdue()


class TestWorker:
    def test_the_arbiter_is_told_once_a_second_that_the_worker_lives(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[float] = []
        now = iter([100.0, 100.4, 100.99, 101.0, 101.5])
        monkeypatch.setattr("gunicorn.workers.gthread.ThreadWorker.notify", lambda self: told.append(1))
        monkeypatch.setattr("services.inference.admission.gunicorn_worker.time.monotonic", lambda: next(now))
        worker = Worker.__new__(Worker)
        counts = []
        for _ in range(5):
            worker.notify()
            counts.append(len(told))
        assert counts == [1, 1, 1, 2, 2]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """It answers every head that has come, and keeps connections."""

    def answer(_worker: Worker, connection: SimpleNamespace) -> bool:
        head, _, rest = connection.parser.unreader.take_buffered().partition(END)
        connection.parser.unreader.unread(rest)
        connection.answered.append(head)
        return True

    monkeypatch.setattr("gunicorn.workers.gthread.ThreadWorker.handle", answer)
    worker = Worker.__new__(Worker)
    worker.alive, worker.cfg = True, SimpleNamespace(threads=4)
    return worker


def connected(server: socket.socket, early: bytes) -> SimpleNamespace:
    """A connection as gunicorn has it, with what the event loop has received of it."""
    return SimpleNamespace(
        sock=ClientSocket(server),
        parser=SimpleNamespace(unreader=SocketUnreader(server)),
        early=early,
        init=lambda: None,
        is_probe=False,
        answered=[],
    )


class TestKeepAlive:
    def test_a_client_that_asks_again_at_once_keeps_its_thread_until_it_hangs_up(
        self, worker: Worker, pair: Pair
    ) -> None:
        server, client = pair
        connection = connected(server, b"1" + END)
        client.sendall(b"2" + END + b"3" + END)
        client.close()
        assert worker.handle(connection) is True
        assert connection.answered == [b"1", b"2", b"3"]

    def test_a_client_that_falls_silent_or_sends_half_a_head_gives_its_thread_back(
        self, worker: Worker, pair: Pair
    ) -> None:
        server, client = pair
        connection = connected(server, b"1" + END)
        client.sendall(b"half")
        assert worker.handle(connection) is True
        assert (connection.answered, connection.early) == ([b"1"], b"half")

    @pytest.mark.parametrize("state", ["too many wait", "the worker ends", "a probe", "an answer is unread"])
    def test_no_thread_waits_for_a_client_where_others_need_it(self, worker: Worker, pair: Pair, state: str) -> None:
        server, client = pair
        connection = connected(server, b"1" + END)
        if state == "the worker ends":
            worker.alive = False
        elif state == "too many wait":
            worker._waiting = 1  # of four threads
        elif state == "a probe":
            connection.is_probe = True
        else:
            connection.sock.unsent += b"x"
        client.sendall(b"2" + END)
        assert worker.handle(connection) is True
        assert connection.answered == [b"1"]
        assert connection.sock.recv(1) == b"2"
