"""A connection for the tests of what is read from one."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.bodies import Pair


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The service's end and the client's."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()
