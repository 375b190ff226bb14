"""Clients of an HTTP server, in a process of their own: each asks, waits for the answer and asks again.

Reads a `Job` from standard input and prints a `Result`, both as JSON. Connections are kept where the server keeps them.
What clients cost is taken from the cores that the server runs on, so a thread for each sends its request by one call.
"""

import json
import re
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

_LONGEST_S = 300.0


@dataclass(frozen=True)
class Job:
    """`clients` post the content of `body` to `url`. What ends in the first `warm_s` seconds is not counted, what ends
    in the `seconds` after it is; then each client waits for its last answer."""

    url: str
    headers: dict[str, str]
    body: str
    clients: int
    warm_s: float
    seconds: float


@dataclass(frozen=True)
class Result:
    """`rate` is answers a second between the first and the last one that count, `latencies` their seconds. `good` and
    `others` are answers of any time: with 200, and with something else or not at all."""

    rate: float
    latencies: tuple[float, ...]
    good: int
    others: int


def ask(job: Job) -> Result:
    host, request = _request(job)
    begin = time.perf_counter() + job.warm_s
    end = begin + job.seconds
    asked: list[tuple[float, float, bool]] = []  # when it ended, how long it took, whether with 200

    def client() -> None:
        connection = Connection(*host)
        while (began := time.perf_counter()) < end:
            try:
                answered = connection.status(request) == 200
            except OSError:
                connection.close()
                answered = False
            now = time.perf_counter()
            asked.append((now, now - began, answered))
            if not answered:
                time.sleep(0.05)  # a server that refuses is not to be flooded
        connection.close()

    clients = [threading.Thread(target=client) for _ in range(job.clients)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    counted = sorted((now, took) for now, took, answered in asked if answered and begin <= now < end)
    span = counted[-1][0] - counted[0][0] if len(counted) > 1 else job.seconds
    good = sum(answered for _, _, answered in asked)
    return Result(
        rate=(len(counted) - 1) / span if len(counted) > 1 else 0.0,
        latencies=tuple(took for _, took in counted),
        good=good,
        others=len(asked) - good,
    )


class Connection:
    """HTTP 1.1 with as little as it takes."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def status(self, request: bytes) -> int:
        """Sends a request and reads its answer; connects where there is no connection. Raises OSError."""
        self._socket = self._socket or socket.create_connection(self._address, timeout=_LONGEST_S)
        self._socket.sendall(request)
        answer = bytearray()
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._received()
        head = bytes(answer[:end]).lower()
        length = re.search(rb"content-length: *(\d+)", head)
        if length is None:
            raise OSError("an answer without its length is not read")
        while len(answer) < end + 4 + int(length[1]):
            answer += self._received()
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1])

    def _received(self) -> bytes:
        data = self._socket.recv(65536) if self._socket else b""
        if not data:
            raise OSError("the connection has ended before its answer")
        return data

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None


def _request(job: Job) -> tuple[tuple[str, int], bytes]:
    """Where to connect, and all bytes of a request."""
    url, body = urlsplit(job.url), Path(job.body).read_bytes()
    lines = [f"POST {url.path} HTTP/1.1", f"Host: {url.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in job.headers.items()]
    return (url.hostname or "", url.port or 80), "\r\n".join([*lines, "", ""]).encode() + body


if __name__ == "__main__":
    print(json.dumps(asdict(ask(Job(**json.load(sys.stdin))))))
