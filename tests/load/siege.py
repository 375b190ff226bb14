"""`make siege`: clients that misuse the inference service, one kind after the other, while probes are timed.

Starts the service as `mammo serve` does, with a ResNet-50, and asks /healthz and /readyz every 0.2 s on new connections
during each attack (tests/load/besiegers.py). Prints the slowest probe, the most memory, and what became of the
clients. Ends with status 1 where a probe failed or took over a second, where memory and temporary files exceed the
limit of the shipped containers, or where a form with a key got neither an exam nor a refusal with Retry-After.
`--serve` runs another server of the same application instead, to compare.
"""

import argparse
import http.client
import multiprocessing
import resource
import shlex
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import requests

from shared.store.directory import DirectoryStore
from tests.bench.published import NETWORK, publish
from tests.bench.results import record
from tests.load.besiegers import FORMS, KEYLESS, Besieger, forms
from tests.load.exams import MEMORY_LIMIT_MB, exam_form, watching
from tests.support.serving import HEADERS, Served, running_service

SLOWEST_S = 1.0
_EVERY_S = 0.2
_GIVE_UP_S = 10.0
_FILMS, _FORMS_S = 7, 20
_GOOD_FORMS = {"200", "429 with Retry-After", "503 with Retry-After"}
_CORES = 2
_CLIENTS, _RATE_S = 8, 8.0


@dataclass
class Probes:
    """Durations of the probes in seconds, and how many failed (no answer, or another status than 200)."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def slowest(self) -> float:
        return max(self.seconds, default=0.0)


@dataclass(frozen=True)
class Attack:
    """The result of one kind of clients; `memory_mb` includes temporary files."""

    name: str
    probes: Probes
    memory_mb: int
    seen: Counter[str]
    wrong: bool

    @property
    def held(self) -> bool:
        fits = self.memory_mb <= MEMORY_LIMIT_MB
        return not self.wrong and fits and not self.probes.failed and self.probes.slowest <= SLOWEST_S

    def __str__(self) -> str:
        probes, seen = self.probes, ", ".join(f"{what} x {count}" for what, count in sorted(self.seen.items()))
        return (
            f"{'held ' if self.held else 'FELL '} {self.name}: slowest of {len(probes.seconds)} probes "
            f"{probes.slowest:.2f} s, {probes.failed} failed; {self.memory_mb} MB at most; {seen}"
        )


@contextmanager
def probing(address: str) -> Iterator[Probes]:
    """Ask both probes every 0.2 s, each on a thread of its own."""
    probes, ended = Probes(), threading.Event()

    def probe(path: str) -> None:
        while not ended.wait(_EVERY_S):
            began = time.perf_counter()
            connection = http.client.HTTPConnection(address, timeout=_GIVE_UP_S)
            try:
                connection.request("GET", path)
                probes.failed += connection.getresponse().status != 200
            except (OSError, http.client.HTTPException):
                probes.failed += 1
            finally:
                connection.close()
            probes.seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=probe, args=(path,)) for path in ("/healthz", "/readyz")]
    for thread in threads:
        thread.start()
    try:
        yield probes
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def attack(served: Served, folder: Path, name: str, besieger: Besieger, seconds: float, *, keyed: bool) -> Attack:
    """Run one kind of clients in a process of its own, with probes and memory watched."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=lambda: theirs.send(besieger(served.address, seconds)))
    process.start()
    with watching(served, folder) as watched, probing(served.address) as probes:
        seen: Counter[str] = ours.recv()
    process.join()
    wrong = keyed and not ("200" in seen and set(seen) <= _GOOD_FORMS)
    return Attack(name, probes, (watched.memory + watched.files) >> 20, seen, wrong)


def besiege(served: Served, folder: Path, body: bytes, kind: str, only: str) -> Iterator[Attack]:
    """Yield the result of each attack."""
    for name, (besieger, seconds) in KEYLESS.items():
        if only in name:
            yield attack(served, folder, name, besieger, seconds, keyed=False)
    if only in (name := f"{FORMS} forms of {_FILMS} films"):
        sending = partial(forms, body=body, headers={**HEADERS, "Content-Type": kind})
        yield attack(served, folder, name, sending, _FORMS_S, keyed=True)


def throughput(served: Served, film: bytes) -> str:
    """Let eight clients ask for predictions of a film, and describe the rate and the times."""
    until = time.monotonic() + _RATE_S

    def ask() -> list[float]:
        session, times = requests.Session(), []
        session.headers.update(HEADERS)
        while time.monotonic() < until:
            began = time.perf_counter()
            if session.post(f"{served.url}/v1/predictions", data=film, timeout=60).status_code == 200:
                times.append(time.perf_counter() - began)
        return times

    with ThreadPoolExecutor(_CLIENTS) as pool:
        times = sorted(took for asking in [pool.submit(ask) for _ in range(_CLIENTS)] for took in asking.result())
    p99 = times[int(0.99 * (len(times) - 1))]
    return f"without attack: {len(times) / _RATE_S:.1f} predictions/s by {_CLIENTS} clients, p99 {p99:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="a part of the description of the clients to run")
    parser.add_argument("--record", action="store_true", help="keep what is printed in benchmarks/RESULTS.md")
    parser.add_argument("--serve", default="", help="a command that serves the application on MAMMO_SERVE_PORT")
    asked = parser.parse_args()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    prepared = requests.Request("POST", "http://x", files=exam_form(_FILMS)).prepare()
    assert isinstance(prepared.body, bytes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        published = publish(folder)
        store = DirectoryStore(published.store)
        settings = {"MAMMO_SERVE_NETWORK": NETWORK, "TMPDIR": str(folder / "tmp"), "MAMMO_CPU_THREADS": str(_CORES)}
        with running_service(store, folder, shlex.split(asked.serve), **settings) as served:
            lines = [throughput(served, published.film("png").read_bytes())]
            print(lines[0], flush=True)
            kind, attacks = prepared.headers["Content-Type"], []
            for each in besiege(served, folder / "tmp", prepared.body, kind, asked.only):
                attacks.append(each)
                print(each, flush=True)
    slowest, memory = max(each.probes.slowest for each in attacks), max(each.memory_mb for each in attacks)
    most = f"slowest probe {slowest:.2f} s (at most {SLOWEST_S:.0f}); memory {memory} MB (at most {MEMORY_LIMIT_MB})"
    print(most)
    if asked.record and not asked.serve:
        command = f'make siege ONLY="{asked.only}"' if asked.only else "make siege"
        record(command, "\n".join([*lines, *map(str, attacks), most]))
    raise SystemExit(not all(each.held for each in attacks))


if __name__ == "__main__":
    main()
