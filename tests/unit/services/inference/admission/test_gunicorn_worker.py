"""A connection that takes too long to send is shut down, others are left alone; a client that is answered early sees
that, and one that asks again at once keeps its thread."""

import socket
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from gunicorn.http.unreader import SocketUnreader

from services.inference.admission.gunicorn_worker import Deadlines, Worker, throw_away
from tests.support.bodies import Pair

"""The server's end of a connection, and the client's."""


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
        deadlines.shut_down_overdue()
        assert not is_open(client)
        deadlines.shut_down_overdue()

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


class TestEarlyAnswers:
    def test_what_comes_behind_an_early_answer_is_thrown_away_until_the_client_ends(self, pair: Pair) -> None:
        server, client = pair
        with ThreadPoolExecutor(1) as pool:
            thrown = pool.submit(throw_away, server)
            client.sendall(bytes(1 << 20))
            assert client.recv(1) == b""  # the answer has ended, and the client sees it
            assert not thrown.done()
            client.close()
            thrown.result(5)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """It answers whatever comes, one byte at a time, and keeps connections."""

    def answer(_worker: Worker, connection: SimpleNamespace) -> bool:
        return bool(connection.parser.unreader.read(1))

    monkeypatch.setattr("gunicorn.workers.gthread.ThreadWorker.handle", answer)
    worker = Worker.__new__(Worker)
    worker.alive, worker.cfg = True, SimpleNamespace(threads=4)
    return worker


def connected(server: socket.socket) -> SimpleNamespace:
    """A connection as gunicorn has it."""
    return SimpleNamespace(sock=server, parser=SimpleNamespace(unreader=SocketUnreader(server, max_chunk=1)))


class TestKeepAlive:
    def test_a_client_that_asks_again_at_once_keeps_its_thread_until_it_hangs_up(
        self, worker: Worker, pair: Pair
    ) -> None:
        server, client = pair
        client.send(b"123")
        client.close()
        assert worker.handle(connected(server)) is False
        assert server.recv(1) == b""

    def test_a_client_that_falls_silent_gives_its_thread_back(self, worker: Worker, pair: Pair) -> None:
        server, client = pair
        client.send(b"1")
        assert worker.handle(connected(server)) is True
        client.send(b"2")
        assert server.recv(1) == b"2"

    @pytest.mark.parametrize("state", ["too many wait", "the worker ends"])
    def test_nobody_is_waited_for_where_too_many_wait_or_the_worker_ends(
        self, worker: Worker, pair: Pair, state: str
    ) -> None:
        server, client = pair
        if state == "the worker ends":
            worker.alive = False
        else:
            worker._waiting = 1  # of four threads
        client.send(b"12")
        assert worker.handle(connected(server)) is True
        assert server.recv(1) == b"2"

    def test_a_request_that_was_sent_behind_another_and_is_read_already_is_not_waited_for(
        self, worker: Worker, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = connected(pair[0])
        connection.parser.unreader.unread(b"123")
        unread: list[bytes] = []

        def nothing_comes(_milliseconds: float) -> list[object]:
            unread.append(connection.parser.unreader.buf.getvalue())
            return []

        poll = SimpleNamespace(register=lambda *_: None, poll=nothing_comes)
        monkeypatch.setattr("services.inference.admission.gunicorn_worker.select.poll", lambda: poll)
        assert worker.handle(connection) is True
        assert unread == [b""]
