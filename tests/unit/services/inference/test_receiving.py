"""A connection that takes too long to send is shut down; others are left alone."""

import socket

import pytest

from services.inference.receiving import Deadlines


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
