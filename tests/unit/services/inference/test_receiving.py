"""A connection that takes too long to send is shut down; others are left alone."""

import socket

import pytest

from services.inference.receiving import Deadlines, Worker


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True


def test_who_is_overdue_is_shut_down_once(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    deadlines = Deadlines()
    deadlines.begin(server, -1)
    deadlines.shut_down_overdue()
    assert not is_open(client)
    deadlines.shut_down_overdue()


def test_who_has_time_left_or_has_ended_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    deadlines = Deadlines()
    deadlines.begin(server, 60)
    deadlines.shut_down_overdue()
    assert is_open(client)
    deadlines.begin(server, -1)
    deadlines.end(server)
    deadlines.shut_down_overdue()
    assert is_open(client)


def test_a_connection_that_is_gone_already_does_no_harm(pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    client.close()
    server.close()
    deadlines = Deadlines()
    deadlines.begin(server, -1)
    deadlines.shut_down_overdue()


def test_the_arbiter_is_told_once_a_second_that_the_worker_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    now = iter([100.0, 100.4, 100.99, 101.0, 101.5])
    monkeypatch.setattr("gunicorn.workers.gthread.ThreadWorker.notify", lambda self: told.append(1))
    monkeypatch.setattr("services.inference.receiving.time.monotonic", lambda: next(now))
    worker = Worker.__new__(Worker)
    counts = []
    for _ in range(5):
        worker.notify()
        counts.append(len(told))
    assert counts == [1, 1, 1, 2, 2]
