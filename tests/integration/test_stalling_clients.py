"""The service answers probes and predictions while clients without a key send or read nothing."""

import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from shared.local.commands import inference_command
from shared.store.directory import DirectoryStore
from tests.support.servers import wait_until
from tests.support.serving import HEADERS, Served, running_service

LARGE = "/docs/swagger-ui-bundle.js"
CROWD = 30
FEW_THREADS = {"MAMMO_SERVE_THREADS": "4"}


@contextmanager
def held(served: Served, request: bytes, number: int = CROWD) -> Iterator[list[socket.socket]]:
    """So many connections that have sent `request`, and read little or nothing."""
    with ExitStack() as stack:
        connections = []
        for _ in range(number):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(20)
            host, port = served.address.split(":")
            connection.connect((host, int(port)))
            connection.sendall(request)
            connections.append(connection)
        yield connections


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def answers(served: Served, film: bytes) -> bool:
    """Whether probes and a prediction are answered; each has to come long before the stalling clients are ended."""
    for path in ("/healthz", "/readyz"):
        assert requests.get(served.url + path, timeout=5).status_code == 200
    answer = requests.post(f"{served.url}/v1/predictions", data=film, headers=HEADERS, timeout=8)
    return answer.status_code == 200


def ended(served: Served, reason: str) -> float:
    text = requests.get(f"{served.url}/metrics", headers=HEADERS, timeout=10).text
    found = re.search(rf'mammo_connections_ended_total{{reason="{reason}"}} (\S+)', text)
    return float(found[1]) if found else 0.0


class TestStallingClients:
    def test_clients_that_send_no_whole_head_hold_no_thread_and_are_ended_and_counted(
        self, store_of_models: DirectoryStore, tmp_path: Path, films: list[bytes]
    ) -> None:
        with running_service(store_of_models, tmp_path, **FEW_THREADS) as served:
            with held(served, b""), held(served, head("/")[:-2]):
                assert answers(served, films[0])
                wait_until(lambda: ended(served, "silent") >= 2 * CROWD, 20)
            assert '"silent":' in served.log.read_text()

    def test_clients_that_read_no_answer_hold_no_thread_and_are_ended_and_counted(
        self, store_of_models: DirectoryStore, tmp_path: Path, films: list[bytes]
    ) -> None:
        with running_service(store_of_models, tmp_path, **FEW_THREADS) as served:
            with held(served, head(LARGE) * 4):
                assert answers(served, films[0])
                wait_until(lambda: ended(served, "unread") >= CROWD, 25)
            assert "Traceback" not in served.log.read_text()

    def test_more_clients_than_threads_that_ask_without_a_pause_are_all_answered(
        self, store_of_models: DirectoryStore, tmp_path: Path
    ) -> None:
        clients, each_gets = 12, 5
        answered, ended = [0] * clients, threading.Event()

        def ask(client: int, url: str) -> None:
            with requests.Session() as session:
                while not ended.is_set():
                    assert session.get(url, headers=HEADERS, timeout=20).status_code == 200
                    answered[client] += 1

        with running_service(store_of_models, tmp_path, **FEW_THREADS) as served, ThreadPoolExecutor(clients) as pool:
            asking = [pool.submit(ask, client, f"{served.url}/v1/models") for client in range(clients)]
            try:
                wait_until(lambda: min(answered) >= each_gets, 15)
            finally:
                ended.set()
            for one in asking:
                one.result()

    def test_a_client_that_reads_slowly_gets_the_whole_answer_and_the_next_one(self, served: Served) -> None:
        whole = requests.get(served.url + LARGE, timeout=10).content
        with held(served, head(LARGE) + head("/healthz", "Connection: close"), 1) as (connection,):
            received = bytearray()
            while piece := connection.recv(65536):
                received += piece
        first, _, rest = bytes(received).partition(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200")
        assert rest[: len(whole)] == whole
        assert rest[len(whole) :].startswith(b"HTTP/1.1 200")
        assert b"alive" in rest[len(whole) :]

    def test_a_body_on_a_route_without_a_key_is_refused_by_its_head(
        self, store_of_models: DirectoryStore, tmp_path: Path, films: list[bytes]
    ) -> None:
        with running_service(store_of_models, tmp_path, **FEW_THREADS) as served:
            for lines in (["Content-Length: 1000000"], ["Transfer-Encoding: chunked"]):
                with held(served, head("/docs", *lines)) as connections:
                    for connection in connections:
                        assert connection.recv(12) == b"HTTP/1.1 413"
                    assert answers(served, films[0])
            assert requests.get(f"{served.url}/docs", headers={"Content-Length": "0"}, timeout=5).status_code == 200

    def test_more_connections_than_the_service_may_hold_make_room_for_requests(
        self, store_of_models: DirectoryStore, tmp_path: Path, films: list[bytes]
    ) -> None:
        few_files = ("sh", "-c", 'ulimit -n 400; exec "$@"', "sh", *inference_command())
        with running_service(store_of_models, tmp_path, few_files) as served, held(served, b"", 300):
            assert answers(served, films[0])
            assert ended(served, "crowded") >= 100
