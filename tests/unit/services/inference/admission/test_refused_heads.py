"""Requests that gunicorn refuses get problem documents that quote nothing of them."""

import json
import socket
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser, errors

from services.inference.admission.gunicorn_worker import Worker
from services.inference.admission.refused_heads import refusal
from tests.support.bodies import Pair

HOST = b"Host: a\r\n"
REQUESTS = {
    "no HTTP": (b"secret\r\n\r\n", 400, "bad-request"),
    "a space in a header's name": (b"GET / HTTP/1.1\r\nHost: a\r\nsec ret: b\r\n\r\n", 400, "bad-request"),
    "no such version": (b"GET / HTTP/7.1\r\n" + HOST + b"\r\n", 400, "bad-request"),
    "too long a line": (b"GET /" + b"secret" * 1000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, None),
    "too long a header": (b"GET / HTTP/1.1\r\nX: " + b"secret" * 2000 + b"\r\n\r\n", 431, None),
    "an unknown coding": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: secret\r\n\r\n", 501, "not-implemented"),
}


def parsed(answer: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(headers["Content-Length"]) == len(body)
    return int(first.split()[1]), headers, json.loads(body)


def error_of(request: bytes) -> Exception:
    """What gunicorn's parser raises."""
    with pytest.raises(errors.ParseException) as raised:
        next(RequestParser(Config(), iter([request]), ("127.0.0.1", 1)))
    return raised.value


class TestRefusal:
    @pytest.mark.parametrize("kind", REQUESTS)
    def test_a_request_that_is_no_http_gets_a_problem_that_quotes_nothing_of_it(self, kind: str) -> None:
        request, status, title = REQUESTS[kind]
        found, headers, problem = parsed(refusal(error_of(request)))
        assert (found, problem["status"]) == (status, status)
        assert title in (None, problem["title"])
        assert headers["Content-Type"] == "application/problem+json"
        assert headers["Connection"] == "close"
        assert headers["X-Request-Id"] == problem["request_id"]
        assert "secret" not in json.dumps(problem)

    @pytest.mark.parametrize("error", [ValueError("secret"), errors.InvalidResponseHeader("secret", None)])
    def test_an_error_of_the_service_is_internal_and_its_text_is_in_the_log_alone(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        status, _, problem = parsed(refusal(error))
        assert (status, problem["title"]) == (500, "internal")
        assert "secret" not in json.dumps(problem)
        (record,) = caplog.records
        assert record.__dict__["request_id"] == problem["request_id"]


def test_the_worker_sends_it_and_a_client_that_is_gone_does_no_harm(pair: Pair) -> None:
    server, client = pair
    worker = Worker.__new__(Worker)
    worker.handle_error(None, server, ("127.0.0.1", 1), errors.InvalidRequestLine("secret"))
    status, _, problem = parsed(client.recv(4096))
    assert (status, problem["title"]) == (400, "bad-request")
    server.shutdown(socket.SHUT_RDWR)
    worker.handle_error(None, server, ("127.0.0.1", 1), errors.InvalidRequestLine("secret"))
