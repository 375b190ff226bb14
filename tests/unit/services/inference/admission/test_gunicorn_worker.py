"""A connection that takes too long to send is shut down, others are left alone; a thread answers one request."""

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


class TestHandle:
    def test_a_thread_answers_one_request_and_keeps_what_came_behind_it(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def answer(_worker: Worker, connection: SimpleNamespace) -> bool:
            head, _, rest = connection.parser.unreader.take_buffered().partition(END)
            connection.parser.unreader.unread(rest)
            connection.answered.append(head)
            return True

        monkeypatch.setattr("gunicorn.workers.gthread.ThreadWorker.handle", answer)
        connection = SimpleNamespace(
            sock=ClientSocket(pair[0]),
            parser=SimpleNamespace(unreader=SocketUnreader(pair[0])),
            early=b"1" + END + b"2" + END + b"half",
            init=lambda: None,
            answered=[],
        )
        assert Worker.__new__(Worker).handle(connection) is True
        assert (connection.answered, connection.early) == ([b"1"], b"2" + END + b"half")
