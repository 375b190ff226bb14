"""An answer that its client does not read waits in memory, not in a thread, and arrives whole when it is read."""

import io
import socket
import threading

import pytest

from services.inference.admission import client_socket
from services.inference.admission.client_socket import ClientSocket
from tests.support.bodies import Pair

ANSWER = bytes(range(256)) * 8000


def read(client: socket.socket, server: ClientSocket, size: int) -> bytes:
    """Read `size` bytes while the server sends on."""
    received = bytearray()
    while len(received) < size:
        received += client.recv(1 << 20)
        if server.unsent:
            server.send_more()
    return bytes(received)


class TestClientSocket:
    def test_what_a_client_does_not_read_is_kept_and_sent_in_order_when_it_reads(self, pair: Pair) -> None:
        server, client = ClientSocket(pair[0]), pair[1]
        server.sendall(ANSWER)
        kept = len(server.unsent)
        server.sendall(b"end")
        assert 0 < kept < len(ANSWER)
        assert len(server.unsent) == kept + 3
        assert read(client, server, len(ANSWER) + 3) == ANSWER + b"end"
        assert not server.unsent
        server.close()

    def test_a_long_answer_is_sent_no_faster_than_it_is_read(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client_socket, "MOST_UNSENT", 1000)
        server, client = ClientSocket(pair[0]), pair[1]
        received = bytearray()

        def receive() -> None:
            while len(received) < len(ANSWER) - 1000:
                received.extend(client.recv(1 << 20))

        reader = threading.Thread(target=receive)
        reader.start()
        server.sendall(ANSWER)
        assert len(server.unsent) <= 1000
        reader.join()
        assert ANSWER.startswith(received)
        server.close()

    def test_a_long_answer_that_is_not_read_ends_the_connection(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_socket, "MOST_UNSENT", 1000)
        monkeypatch.setattr(client_socket, "READ_WITHIN_S", 0.01)
        server = ClientSocket(pair[0])
        with pytest.raises(TimeoutError, match="does not read"):
            server.sendall(ANSWER)
        server.close()

    def test_nothing_is_kept_of_an_answer_that_the_system_takes(self, pair: Pair) -> None:
        server, client = ClientSocket(pair[0]), pair[1]
        server.sendall(b"short")
        assert (client.recv(10), bytes(server.unsent)) == (b"short", b"")
        server.close()

    def test_a_part_of_a_file_is_sent(self, pair: Pair) -> None:
        server, client = ClientSocket(pair[0]), pair[1]
        assert server.sendfile(io.BytesIO(b"0123456789"), 2, 5) == 5
        assert client.recv(10) == b"23456"
        server.close()

    def test_a_client_that_takes_nothing_more_gets_nothing_more(self, pair: Pair) -> None:
        server = ClientSocket(pair[0])
        server.sendall(ANSWER)
        kept = len(server.unsent)
        assert (server.send_more(), len(server.unsent)) == (0, kept)
        server.close()
