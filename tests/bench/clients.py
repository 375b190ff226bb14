"""Clients of an HTTP server, in a process of their own: each asks, waits for the answer and asks again.

Reads a `Job` from standard input and prints a `Result`, both as JSON. Connections are kept where the server keeps them.
"""

import asyncio
import json
import re
import sys
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


async def ask(job: Job) -> Result:
    host, request = _request(job)
    begin = time.perf_counter() + job.warm_s
    end, good, others = begin + job.seconds, 0, 0
    answers: list[tuple[float, float]] = []

    async def client() -> None:
        nonlocal good, others
        connection = Connection(*host)
        while (asked := time.perf_counter()) < end:
            try:
                answered = await connection.status(request) == 200
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                connection.close()
                answered = False
            now = time.perf_counter()
            good, others = good + answered, others + (not answered)
            if not answered:
                await asyncio.sleep(0.05)  # a server that refuses is not to be flooded
            elif begin <= now < end:
                answers.append((now, now - asked))
        connection.close()

    await asyncio.gather(*(client() for _ in range(job.clients)))
    span = answers[-1][0] - answers[0][0] if len(answers) > 1 else job.seconds
    return Result(
        rate=(len(answers) - 1) / span if len(answers) > 1 else 0.0,
        latencies=tuple(latency for _, latency in answers),
        good=good,
        others=others,
    )


class Connection:
    """HTTP 1.1 with as little as it takes: what a client costs is taken from the cores that the server runs on."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def status(self, request: bytes) -> int:
        """Sends a request and reads its answer; connects where there is no connection."""
        async with asyncio.timeout(_LONGEST_S):
            self._streams = self._streams or await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            writer.write(request)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: *(\d+)", head)
            if length is None:
                raise OSError("an answer without its length is not read")
            await reader.readexactly(int(length[1]))
            if b"connection: close" in head:
                self.close()
            return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None


def _request(job: Job) -> tuple[tuple[str, int], bytes]:
    """Where to connect, and all bytes of a request."""
    url, body = urlsplit(job.url), Path(job.body).read_bytes()
    lines = [f"POST {url.path} HTTP/1.1", f"Host: {url.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in job.headers.items()]
    return (url.hostname or "", url.port or 80), "\r\n".join([*lines, "", ""]).encode() + body


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(ask(Job(**json.load(sys.stdin)))))))
