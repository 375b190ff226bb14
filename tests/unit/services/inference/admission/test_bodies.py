"""Bodies of known length are received whole, and nothing behind them is lost."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader
from werkzeug.exceptions import ClientDisconnected

from services.inference.admission.bodies import pieces_of
from tests.support.bodies import Pair

"""The server's end of a connection, and the client's."""


def body_of(server: socket.socket, length: int, early: bytes = b"") -> Body:
    """A request's body, of which gunicorn has read `early` with the headers."""
    unreader = SocketUnreader(server)
    unreader.unread(early)
    return Body(LengthReader(unreader, length))


class TestPiecesOf:
    @pytest.mark.parametrize("early", [b"", b"ab", b"abcdef"])
    def test_a_body_comes_whole_in_whatever_pieces_it_is_sent(self, pair: Pair, early: bytes) -> None:
        server, client = pair
        body = body_of(server, 6, early)
        with ThreadPoolExecutor(1) as pool:
            whole = pool.submit(lambda: b"".join(pieces_of(body, server)))
            for letter in b"abcdef"[len(early) :]:
                client.send(bytes([letter]))
            assert whole.result(5) == b"abcdef"
        assert body.read() == b""
        assert not body.failed

    def test_what_a_client_sends_behind_a_body_is_kept_for_its_next_request(
        self,
        pair: Pair,
    ) -> None:
        server, client = pair
        body = body_of(server, 4, b"bodyPOST /next")
        client.send(b" HTTP/1.1")
        assert b"".join(pieces_of(body, server)) == b"body"
        assert body.reader.unreader.take_buffered() == b"POST /next"
        assert server.recv(100) == b" HTTP/1.1"

    def test_a_body_that_ends_too_early_is_an_error_and_the_connection_is_not_used_again(
        self,
        pair: Pair,
    ) -> None:
        server, client = pair
        body = body_of(server, 100, b"early")
        client.send(b"more")
        client.close()
        with pytest.raises(ClientDisconnected):
            list(pieces_of(body, server))
        assert body.failed
