"""The service under gunicorn when its worker is killed, and when clients are rude."""

import os
import re
import signal
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import psutil
import requests
from requests.exceptions import ChunkedEncodingError

from shared.store.directory import DirectoryStore
from tests.support.published import KEY
from tests.support.servers import wait_until
from tests.support.serving import HEADERS, Served, running_service

CLIENTS = 4


def worker_of(served: Served) -> int:
    (child,) = psutil.Process(served.process.pid).children()
    return int(child.pid)


def answered(served: Served) -> float:
    """How many predictions were answered with 200, as the service counts them."""
    text = requests.get(f"{served.url}/metrics", headers=HEADERS, timeout=10).text
    (count,) = re.findall(r'mammo_requests_total\{route="/v1/predictions",status="200"\} (\S+)', text)
    return float(count)


class TestEndurance:
    def test_a_worker_that_is_killed_loses_only_its_own_requests_in_flight_and_no_count(
        self, served: Served, films: list[bytes]
    ) -> None:
        ended, killed = Event(), Event()
        told: Counter[str] = Counter()

        def ask(number: int) -> None:
            session = requests.Session()
            session.headers.update(HEADERS)
            while not ended.is_set():
                after = killed.is_set()
                try:
                    status = session.post(f"{served.url}/v1/predictions", data=films[number], timeout=30).status_code
                    told[f"{status} {'after' if after else 'before'}"] += 1
                except (requests.ConnectionError, ChunkedEncodingError):  # the latter: it died between head and body
                    told["lost"] += 1

        with ThreadPoolExecutor(CLIENTS) as pool:
            asking = [pool.submit(ask, number) for number in range(CLIENTS)]
            try:
                wait_until(lambda: told["200 before"] >= 20, 30)
                first = worker_of(served)
                os.kill(first, signal.SIGKILL)
                killed.set()
                wait_until(lambda: told["200 after"] >= 20, 30)
            finally:
                ended.set()
        assert [each.exception() for each in asking] == [None] * CLIENTS
        assert worker_of(served) != first
        assert set(told) <= {"200 before", "200 after", "lost"}, told
        assert told["lost"] <= CLIENTS
        assert answered(served) >= told["200 before"] + told["200 after"], "the dead worker's counts are kept"

    def test_a_client_that_sends_slowly_or_not_at_all_keeps_nobody_from_being_answered(
        self, served: Served, films: list[bytes]
    ) -> None:
        head = b"POST /v1/predictions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: 500000\r\n\r\n"
        idle = [socket.create_connection(served.address.split(":")) for _ in range(40)]
        try:
            for connection in idle[:8]:
                connection.sendall(head % KEY.encode() + b"\x89PNG")
            for _ in range(4):
                answer = requests.post(f"{served.url}/v1/predictions", data=films[0], headers=HEADERS, timeout=10)
                assert answer.status_code == 200
        finally:
            for connection in idle:
                connection.close()

    def test_clients_that_dribble_are_hung_up_on_so_that_they_never_hold_all_threads(
        self, store_of_models: DirectoryStore, tmp_path: Path, films: list[bytes]
    ) -> None:
        with running_service(store_of_models, tmp_path, MAMMO_SERVE_RECEIVE_S="1", MAMMO_SERVE_THREADS="4") as served:
            head = (
                "POST /v1/predictions HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {KEY}\r\nContent-Length: 500\r\n\r\n"
            )
            rude = [socket.create_connection(served.address.split(":")) for _ in range(8)]
            for connection in rude:
                connection.sendall(head.encode() + b"\x89PNG")
            answer = requests.post(f"{served.url}/v1/predictions", data=films[0], headers=HEADERS, timeout=20)
            assert answer.status_code == 200
            for connection in rude:
                connection.settimeout(10)
                assert connection.recv(4096) == b""
                connection.close()
            assert "Traceback" not in served.log.read_text()

    def test_a_body_that_is_too_large_is_refused_and_the_client_may_ask_again(
        self, served: Served, films: list[bytes]
    ) -> None:
        session = requests.Session()
        session.headers.update(HEADERS)
        for _ in range(3):
            assert session.post(f"{served.url}/v1/predictions", data=bytes(65 << 20), timeout=30).status_code == 413
            assert session.post(f"{served.url}/v1/predictions", data=films[0], timeout=30).status_code == 200
