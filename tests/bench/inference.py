"""`make bench-inference`: the inference service beside other model servers on this machine, in one run.

Every server does the same work: one film of 1024 x 1024 a request, our decoding and preprocessing, ResNet-50 at 224.
Rounds follow each other; in each of them every server in turn, in a shuffled order, is started, measured with 1, 4, 16
and 64 clients and ended, so that a machine that gets slower slows all of them. What is printed are medians over the
rounds, and their ratios beside what the project wants of them.

Ours and another one with our graph differ by less than a machine does from one minute to the next. So in each round
both are also up at once and are asked in short turns; their ratio is the median of those of neighbouring turns.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from shared.local.commands import ROOT
from tests.bench.clients import Result
from tests.bench.published import Published, publish
from tests.bench.sides import FLASK, MAMMOSTACK, OTHERS, WORKERS, Engine, Running, Server, running

ROOM = {"MAMMO_SERVE_THREADS": "80", "MAMMO_SERVE_WAITING": "70"}
"""By default the service refuses what would wait too long; here 64 clients are to wait, as they do with the others."""


_TURNS = 3
"""Of each of the two, for each number of clients in each round; a turn takes half as long as another measurement."""


@dataclass(frozen=True)
class Effort:
    rounds: int
    clients: tuple[int, ...]
    seconds: float

    def warm_s(self, clients: int) -> float:
        """Until as many wait as will: a slow server answers all of its clients once in this time."""
        return 0.5 + clients * 0.09


FULL, QUICK = Effort(3, (1, 4, 16, 64), 6.0), Effort(1, (1, 4, 16), 3.0)


@dataclass
class Seen:
    """What was measured of one side, by round; rates and latencies by the number of clients."""

    rates: dict[int, list[float]] = field(default_factory=dict)
    latencies: dict[int, list[float]] = field(default_factory=dict)
    memory_mb: list[float] = field(default_factory=list)
    cold_start_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    good: int = 0
    others: int = 0

    def add(self, clients: int, result: Result) -> None:
        self.rates.setdefault(clients, []).append(result.rate)
        self.latencies.setdefault(clients, []).extend(result.latencies)
        self.good += result.good
        self.others += result.others

    def rate(self, clients: int) -> float:
        return median(self.rates[clients])

    def percentile(self, clients: int, percent: int) -> float:
        """Milliseconds."""
        return quantiles(self.latencies[clients], n=100, method="inclusive")[percent - 1] * 1000


Side = tuple[Server, Engine]
OURS: Side = (MAMMOSTACK, "onnx")


class Bench:
    """One run: what is served, how much is done, what was seen."""

    def __init__(self, published: Published, effort: Effort) -> None:
        self.published, self.effort = published, effort
        self.seen: dict[Side, Seen] = {}
        self.pairs: dict[int, list[float]] = {}
        """By clients: our rate to that of the other one with our graph, right before or after."""
        self.pgm = Seen()
        self.bare: list[float] = []

    def round(self, sides: list[Side]) -> None:
        for side in random.sample(sides, len(sides)):
            server, engine = side
            began = time.perf_counter()
            seen = self.seen.setdefault(side, Seen())
            with self._started(server, engine) as running_server:
                self._measure(running_server, seen)
                if server is MAMMOSTACK:
                    self._measure_pgm(running_server)
            print(f"  {name(side)}: {time.perf_counter() - began:.0f} s", flush=True)

    def pair(self, other: Side) -> None:
        film, seconds = self.published.film("png"), self.effort.seconds / 2
        with self._started(*OURS) as ours, self._started(*other) as theirs:
            for clients in self.effort.clients[1:]:
                for _ in range(_TURNS):
                    rates: dict[Server, float] = {}
                    for each in random.sample([ours, theirs], 2):
                        rates[each.server] = each.measure(film, clients, seconds, self.effort.warm_s(clients)).rate
                    self.pairs.setdefault(clients, []).append(rates[ours.server] / rates[theirs.server])

    def best_with_our_engine(self, servers: list[Server]) -> Server:
        """Of the others given our graph: the one that is fastest with four clients."""
        rates = {}
        for server in servers:
            with self._started(server, "onnx") as running_server:
                film = self.published.film("png")
                rates[server] = running_server.measure(film, 4, self.effort.seconds, 1.0).rate
        listed = ", ".join(f"{server.name} {rate:.1f}" for server, rate in rates.items())
        print(f"\ngiven our graph, 4 clients, requests/s: {listed}", flush=True)
        return max(rates, key=rates.__getitem__)

    def _started(self, server: Server, engine: Engine) -> AbstractContextManager[Running]:
        folder = Path(tempfile.mkdtemp(dir=self.published.folder))
        return running(server, self.published, folder, engine, **(ROOM if server is MAMMOSTACK else {}))

    def _measure(self, server: Running, seen: Seen) -> None:
        film, before = self.published.film("png"), server.cpu_s()
        for clients in self.effort.clients:
            seen.add(clients, server.measure(film, clients, self.effort.seconds, self.effort.warm_s(clients)))
        seen.cpu_s += server.cpu_s() - before
        seen.memory_mb.append(server.memory_mb())
        seen.cold_start_s.append(server.cold_start_s)

    def _measure_pgm(self, server: Running) -> None:
        """In turns with the bare engine, while the server idles."""
        for _ in range(2):
            command = [sys.executable, "-m", "tests.bench.bare", str(self.published.model / "model.onnx")]
            command.append(str(self.effort.seconds))
            bare = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            self.bare.append(float(bare.stdout))
            film = self.published.film("pgm")
            self.pgm.add(16, server.measure(film, 16, self.effort.seconds, self.effort.warm_s(16)))


def name(side: Side) -> str:
    server, engine = side
    return server.name if server is MAMMOSTACK else f"{server.name}, {engine}"


# ---- what is printed -------------------------------------------------------------------------------------------------


def print_figures(bench: Bench) -> None:
    clients = bench.effort.clients
    wide, wider = 7 * len(clients) + 2, 13 * len(clients)
    print(f"\n{'':27}{'requests/s by clients':{wide}}{'p50/p99 by clients, ms':{wider}}of all processes")
    head = "".join(f"{c:<7}" for c in clients) + "  " + "".join(f"{c:<13}" for c in clients)
    print(f"{'':27}{head}memory   CPU/request  cold start")
    for side, seen in sorted(bench.seen.items(), key=lambda item: -item[1].rate(4)):
        rates = "".join(f"{seen.rate(c):<7.1f}" for c in clients)
        spread = "".join(f"{f'{seen.percentile(c, 50):.0f}/{seen.percentile(c, 99):.0f}':13}" for c in clients)
        cpu_ms = seen.cpu_s / seen.good * 1000
        costs = f"{median(seen.memory_mb):4.0f} MB {cpu_ms:8.0f} ms {median(seen.cold_start_s):9.2f} s"
        failed = f"  {seen.others} not answered with 200" if seen.others else ""
        print(f"{name(side):27}{rates}  {spread}{costs}{failed}")
    print(f"{'mammostack, PGM':27}{bench.pgm.rate(16):.1f} with 16 clients")
    print(f"{'the bare engine':27}{median(bench.bare):.1f} with {WORKERS} threads")
    for number, ratios in bench.pairs.items():
        listed = " ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
        print(f"to one with our graph, in turns, {number:2} clients: {listed}")


@dataclass(frozen=True)
class Target:
    """A figure beside what the project wants of it: at least that, or at most."""

    what: str
    seen: float
    wanted: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.seen >= self.wanted if self.at_least else self.seen <= self.wanted


def targets(bench: Bench) -> list[Target]:
    ours = bench.seen[OURS]
    torch = {server: seen for (server, engine), seen in bench.seen.items() if engine == "torch"}
    found = []
    for clients in bench.effort.clients[1:]:
        rate, best = ours.rate(clients), max(seen.rate(clients) for seen in torch.values())
        found.append(Target(f"throughput, {clients} clients, to the best on torch", rate / best, 1.25))
        found.append(Target(f"throughput, {clients} clients, to one with our graph", median(bench.pairs[clients]), 1.0))
    alone = ours.percentile(1, 50) / min(seen.percentile(1, 50) for seen in torch.values())
    memory = median(ours.memory_mb) / median(torch[FLASK].memory_mb)
    return [
        *found,
        Target("throughput, PGM, 16 clients, to the bare engine", bench.pgm.rate(16) / median(bench.bare), 0.92),
        Target("p50 of one client, to the best on torch", alone, 0.55, at_least=False),
        Target("p99 to p50, 16 clients", ours.percentile(16, 99) / ours.percentile(16, 50), 1.2, at_least=False),
        Target("memory, to Flask with sync workers on torch", memory, 0.6, at_least=False),
        Target("cold start, seconds", median(ours.cold_start_s), 2.0, at_least=False),
    ]


def print_targets(found: list[Target]) -> None:
    print(f"\n{'ratio':52}{'seen':>5}  wanted")
    for each in found:
        wanted = f"{'>=' if each.at_least else '<='} {each.wanted:.2f}"
        print(f"{each.what:52}{each.seen:5.2f}  {wanted}  {'pass' if each.met else 'FALLS SHORT'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, up to 16 clients")
    effort = QUICK if parser.parse_args().quick else FULL
    began = time.perf_counter()
    installed = [server for server in OTHERS if server.missing is None]
    print(f"{WORKERS} cores; the others: {WORKERS} workers, one thread of the engine each; {effort.rounds} rounds")
    print(f"mammostack: as in production, but {' '.join(f'{k}={v}' for k, v in ROOM.items())}, so that none is refused")
    for server in OTHERS:
        if server.missing:
            print(f"{server.name} is not installed: {server.missing}")
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as folder:
        bench = Bench(publish(Path(folder)), effort)
        same: Side = (bench.best_with_our_engine(installed), "onnx")
        sides: list[Side] = [OURS, *((server, "torch") for server in installed), same]
        for number in range(effort.rounds):
            print(f"\nround {number + 1} of {effort.rounds}", flush=True)
            bench.round(sides)
            bench.pair(same)
        print_figures(bench)
        found = targets(bench)
        print_targets(found)
    print(f"took {(time.perf_counter() - began) / 60:.0f} min, load of the last 15 minutes: {os.getloadavg()[2]:.1f}")
    return 0 if all(each.met for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
