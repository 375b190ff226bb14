"""Clients of an HTTP server, in a process of their own: each asks, waits for the answer and asks again.

Reads a `Job` from standard input and prints a `Result`, both as JSON. Connections are kept where the server keeps them.
"""

import asyncio
import json
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp


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
    body = Path(job.body).read_bytes()
    begin = time.perf_counter() + job.warm_s
    end, good, others = begin + job.seconds, 0, 0
    answers: list[tuple[float, float]] = []

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal good, others
        while (asked := time.perf_counter()) < end:
            try:
                async with session.post(job.url, data=body, headers=job.headers) as response:
                    await response.read()
                    answered = response.status == 200
            except aiohttp.ClientError:
                answered = False
            now = time.perf_counter()
            good, others = good + answered, others + (not answered)
            if not answered:
                await asyncio.sleep(0.05)  # a server that refuses is not to be flooded
            elif begin <= now < end:
                answers.append((now, now - asked))

    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await asyncio.gather(*(client(session) for _ in range(job.clients)))
    span = answers[-1][0] - answers[0][0] if len(answers) > 1 else job.seconds
    return Result(
        rate=(len(answers) - 1) / span if len(answers) > 1 else 0.0,
        latencies=tuple(latency for _, latency in answers),
        good=good,
        others=others,
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)  # a body over 1 MB may hold the loop up; loopback takes it at once
    print(json.dumps(asdict(asyncio.run(ask(Job(**json.load(sys.stdin)))))))
