"""Real servers for tests, on loopback, ended with the test by their own process ids."""

import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import requests
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.datastructures import EnvironHeaders, Headers
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

from shared import polling
from shared.local import broker


@contextmanager
def running_s3() -> Iterator[str]:
    """moto's server, which keeps objects in memory and honours conditional writes."""
    port = broker.free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(url)
            yield url
        finally:
            server.kill()


@contextmanager
def running_broker() -> Iterator[str]:
    """The server that the demo takes, configured as the demo does."""
    with tempfile.TemporaryDirectory() as folder:
        config = broker.configure(Path(folder))
        with subprocess.Popen(config.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as server:
            try:
                assert server.stdin is not None
                server.stdin.write(config.configuration)
                server.stdin.close()
                broker.wait_until_up(config.url, lambda: None)
                yield config.url
            finally:
                server.kill()


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request to `FaultyS3`, in this order; what is not set goes right."""

    delay: float = 0.0  # seconds
    drop: Literal["before", "after"] | None = None  # the connection, before the work or with its answer
    status: int | None = None  # answered instead of the work, with S3's error `code`
    code: str = ""
    without: str | None = None  # a header of the request that the server overlooks
    cut: bool = False  # the connection breaks off in the middle of the answer's body
    damaged: bool = False  # the answer's body is all zeros


class FaultyS3:
    """moto's S3 in this process, on loopback, that can be stopped, started again and made to fail.

    `fault` is asked what goes wrong with each request, by its method and path. `requests` counts them: LIST (a GET of
    the bucket), GET, HEAD, PUT, POST and DELETE. `headers` are those of the latest. Objects outlive a stop.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.headers: Headers = Headers()
        self.fault: Callable[[str, str], Fault | None] | None = None
        self._counting = threading.Lock()
        self._stopped = threading.Event()
        self._moto: WSGIApplication = DomainDispatcherApplication(create_backend_app)
        self._port = broker.free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._stopped.clear()
        self._server = _Server(self._port, self._answer)
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._serving.start()

    def stop(self) -> None:
        """Refuses connections and breaks off the open ones. Work that has begun is done, but not answered."""
        self._stopped.set()
        self._server.shutdown()
        for connection in tuple(self._server.connections):
            with suppress(OSError):  # closed by its own end
                connection.shutdown(socket.SHUT_RDWR)
        self._serving.join()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self._counting:
            self.requests["LIST" if method == "GET" and "/" not in path.strip("/") else method] += 1
            self.headers = EnvironHeaders(environ)
        ask = self.fault
        fault = (ask and ask(method, path)) or Fault()
        if self._stopped.wait(fault.delay) or fault.drop == "before":
            raise ConnectionAbortedError
        if fault.status:
            document = f"<Error><Code>{fault.code}</Code><Message>as the test wants it</Message></Error>"
            return Response(document, fault.status, mimetype="application/xml")(environ, start_response)
        if fault.without:
            environ.pop(f"HTTP_{fault.without.upper().replace('-', '_')}", None)
        answer = self._moto(environ, start_response)
        if fault.drop == "after":
            raise ConnectionAbortedError
        if fault.damaged:
            return [bytes(len(b"".join(answer)))]
        return _first_half(answer) if fault.cut else answer


def _first_half(answer: Iterable[bytes]) -> Iterator[bytes]:
    body = b"".join(answer)
    yield body[: len(body) // 2]
    raise ConnectionAbortedError


class _Handler(WSGIRequestHandler):
    """Quiet, and a ConnectionError of the application really ends the connection."""

    def log(self, *_: Any) -> None:
        pass

    def connection_dropped(self, *_: Any) -> None:
        self.close_connection = True


class _Server(ThreadedWSGIServer):
    """Knows its open connections; once closed, it has no request in work."""

    daemon_threads = False  # so that closing waits for them

    def __init__(self, port: int, application: WSGIApplication) -> None:
        super().__init__("127.0.0.1", port, application, _Handler)
        self.connections: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)


def _wait_for(url: str) -> None:
    def answers() -> bool:
        try:
            requests.get(url, timeout=2)
        except requests.RequestException:
            return False
        return True

    assert polling.wait_until(answers, 30), f"{url} did not answer within 30 s"


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """How long it took until `condition()` was true; fails after `seconds`."""
    began = time.monotonic()
    assert polling.wait_until(condition, seconds), f"not within {seconds:.0f} s"
    return time.monotonic() - began
