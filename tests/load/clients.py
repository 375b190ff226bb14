"""Clients that don't wait for one another: requests of all kinds come at random times, whatever becomes of the others.

A process of its own: reads a `Job` from standard input, prints a list of `Asked`, both as JSON. Every request has a
connection of its own, so that no answer is lost to a connection that the server had closed meanwhile.
"""

import asyncio
import json
import random
import sys
import time
import warnings
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp

Kind = Literal["film", "broken", "not-a-film", "unknown-format", "gone", "slow", "probe"]
MIX: dict[Kind, float] = {
    "film": 0.78, "broken": 0.06, "not-a-film": 0.06, "unknown-format": 0.04, "gone": 0.04, "slow": 0.02,
}  # fmt: skip
"""Parts of the requests. `gone` hang up while they are worked for, `slow` send their film in pieces."""

SLOW_S = 4.0
_GONE_S = (0.0, 0.5)
_LONGEST_S = 60.0


@dataclass(frozen=True)
class Job:
    """`rate` requests a second to the service at `url` for `seconds`; `files` are the paths of the bodies by kind."""

    url: str
    headers: dict[str, str]
    files: dict[str, list[str]]
    rate: float
    seconds: float
    seed: int


@dataclass(frozen=True)
class Asked:
    """A request: when it was sent (seconds since the epoch), how long its answer took, and what that was. `status` is
    0 where none came; `worked_s` is what the service says it took from its turn in the queue on."""

    kind: Kind
    at: float
    took_s: float
    status: int
    retry_after: str | None = None
    worked_s: float = 0.0


async def storm(job: Job) -> list[Asked]:
    """The requests of a job, and once a second a probe whether the service is ready."""
    chance = random.Random(job.seed)  # noqa: S311  the same storm each time
    bodies = {kind: [Path(file).read_bytes() for file in files] for kind, files in job.files.items()}
    asked: list[Asked] = []
    timeout = aiohttp.ClientTimeout(total=_LONGEST_S)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(job.url, connector=connector, timeout=timeout, headers=job.headers) as session:

        async def send(kind: Kind, body: bytes) -> None:
            asked.append(await _send(session, kind, body, chance))

        async with asyncio.TaskGroup() as tasks:
            began, number = time.monotonic(), 0
            while (now := time.monotonic() - began) < job.seconds:
                if now >= number:
                    number += 1
                    tasks.create_task(send("probe", b""))
                (kind,) = chance.choices(list(MIX), list(MIX.values()))
                tasks.create_task(send(kind, chance.choice(bodies.get(kind) or bodies["film"])))
                await asyncio.sleep(chance.expovariate(job.rate))
    return asked


async def _send(session: aiohttp.ClientSession, kind: Kind, body: bytes, chance: random.Random) -> Asked:
    at, began = time.time(), time.monotonic()
    try:
        if kind == "gone":
            async with asyncio.timeout(chance.uniform(*_GONE_S)):
                return await _answered(session, kind, at, body)
        return await _answered(session, kind, at, _in_pieces(body) if kind == "slow" else body)
    except (TimeoutError, aiohttp.ClientError):
        return Asked(kind, at, time.monotonic() - began, 0)


async def _answered(session: aiohttp.ClientSession, kind: Kind, at: float, body: Any) -> Asked:
    began = time.monotonic()
    ask = session.get("/readyz") if kind == "probe" else session.post("/v1/predictions", data=body)
    async with ask as response:
        answer = await response.json(content_type=None)
        seconds = answer.get("seconds", {})
        worked = seconds.get("total", 0.0) - seconds.get("queue", 0.0)
        took = time.monotonic() - began
        return Asked(kind, at, took, response.status, response.headers.get("Retry-After"), worked)


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    pieces = 8
    size = -(-len(body) // pieces)
    for start in range(0, len(body), size):
        yield body[start : start + size]
        await asyncio.sleep(SLOW_S / pieces)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)  # a body over 1 MB may hold the loop up; loopback takes it at once
    print(json.dumps([asdict(each) for each in asyncio.run(storm(Job(**json.load(sys.stdin))))]))
