"""`make bench-inference`: the inference service beside its own past and other model servers, in one run.

Every server does the same work: one film of 1024 x 1024 a request, as PNG or as PGM, our decoding and preprocessing,
ResNet-50 at 224. All of them are up at once and idle but for the one whose turn it is: for each number of clients they
take turns in a shuffled order, round after round, so that a machine that gets slower slows all of them. Each ratio is
the median of those of neighbouring turns. The other commit (BASE) is a worktree of its own with a store of its own.

The weights are random: formats are served here whatever they decide, for what is measured is time.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from tests.bench.checkouts import checked_out
from tests.bench.published import Published, publish
from tests.bench.results import FALLS_SHORT
from tests.bench.sides import FLASK, MAMMOSTACK, OTHERS, WORKERS, Engine, Running, Server, base_server, running

BASE = "7d3aabf"
ROOM = {"MAMMO_SERVE_THREADS": "80", "MAMMO_SERVE_WAITING": "70"}
"""By default the service refuses what would wait too long; here 64 clients are to wait, as they do with the others."""

FORMS = ("png", "pgm")
SINGLE: tuple[Engine, ...] = ("onnx", "openvino")
"""Engines in single precision, of which a service takes the faster one where a version offers nothing else."""

Turn = tuple[str, int]
"""The form of the film, and the number of clients."""


@dataclass(frozen=True)
class Effort:
    rounds: int
    clients: tuple[int, ...]
    seconds: float


FULL, QUICK = Effort(5, (1, 4, 16, 64), 4.0), Effort(1, (1, 4, 16), 2.0)


@dataclass
class Seen:
    """What was measured of one side, by turn and in the order of the rounds."""

    cold_start_s: float
    rates: dict[Turn, list[float]] = field(default_factory=dict)
    p50_ms: dict[Turn, list[float]] = field(default_factory=dict)
    p99_ms: dict[Turn, list[float]] = field(default_factory=dict)
    cpu_ms: dict[Turn, list[float]] = field(default_factory=dict)
    memory_mb: float = 0.0
    others: int = 0

    def measure(self, server: Running, film: Path, turn: Turn, seconds: float) -> None:
        clients, before = turn[1], server.cpu_s()
        result = server.measure(film, clients, seconds, 0.3 + clients * 0.05)
        cuts = quantiles(result.latencies, n=100, method="inclusive") if len(result.latencies) > 1 else [0.0] * 99
        for kept, value in (
            (self.rates, result.rate),
            (self.p50_ms, cuts[49] * 1000),
            (self.p99_ms, cuts[98] * 1000),
            (self.cpu_ms, (server.cpu_s() - before) * 1000 / max(1, result.good)),
        ):
            kept.setdefault(turn, []).append(value)
        self.others += result.others
        self.memory_mb = max(self.memory_mb, server.memory_mb())


def measured(sides: dict[str, tuple[Server, Engine, Published]], effort: Effort, folder: Path) -> dict[str, Seen]:
    """Start all sides, let them take turns, and end them. Each is started twice: the second start finds its caches."""
    with ExitStack() as stack:
        up: dict[str, Running] = {}
        for name, (server, engine, published) in sides.items():
            room = {**ROOM, "XDG_CACHE_HOME": str(folder / "cache")} if server.path == MAMMOSTACK.path else {}
            with running(server, published, Path(tempfile.mkdtemp(dir=folder)), engine, **room):
                pass
            up[name] = stack.enter_context(
                running(server, published, Path(tempfile.mkdtemp(dir=folder)), engine, **room)
            )
        seen = {name: Seen(each.cold_start_s) for name, each in up.items()}
        for number in range(effort.rounds):
            began = time.perf_counter()
            for turn in ((form, clients) for clients in effort.clients for form in FORMS):
                for name in random.sample(sorted(up), len(up)):
                    seen[name].measure(up[name], sides[name][2].film(turn[0]), turn, effort.seconds)
            print(f"round {number + 1} of {effort.rounds}: {time.perf_counter() - began:.0f} s", flush=True)
        return seen


def ratio(ours: Seen, other: Seen, turn: Turn, figure: str = "rates") -> float:
    """Return the median of the ratios of neighbouring turns."""
    pairs = zip(getattr(ours, figure)[turn], getattr(other, figure)[turn], strict=True)
    return median(one / max(another, 1e-9) for one, another in pairs)


# ---- what is printed -------------------------------------------------------------------------------------------------


def print_figures(seen: dict[str, Seen], effort: Effort) -> None:
    turns = [(form, clients) for form in FORMS for clients in effort.clients]
    print(f"\n{'requests/s':34}" + "".join(f"{f'{form} {clients}':>8}" for form, clients in turns))
    for name, each in seen.items():
        print(f"{name:34}" + "".join(f"{median(each.rates[turn]):8.1f}" for turn in turns))
    head = f"{'p50, 1 client':>16}{'p50/p99, 16':>14}{'CPU, 16':>10}{'memory':>9}{'cold start':>12}"
    print(f"\n{'png':34}{head}")
    for name, each in seen.items():
        one, many = ("png", 1), ("png", 16)
        spread = f"{median(each.p50_ms[many]):.0f}/{median(each.p99_ms[many]):.0f} ms"
        costs = f"{median(each.cpu_ms[many]):7.0f} ms{each.memory_mb:6.0f} MB{each.cold_start_s:10.2f} s"
        failed = f"  {each.others} not answered with 200" if each.others else ""
        print(f"{name:34}{median(each.p50_ms[one]):13.0f} ms{spread:>14}{costs}{failed}")


@dataclass(frozen=True)
class Target:
    """A figure beside what the project wants of it: at least that, or at most; with AMX, for most of them."""

    what: str
    seen: float
    wanted: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.seen >= self.wanted if self.at_least else self.seen <= self.wanted


def targets(seen: dict[str, Seen], base: str, effort: Effort) -> Iterator[Target]:
    old, amx = seen[base], has_amx()
    for clients in effort.clients[1:]:
        for form in FORMS:
            best = max(ratio(seen[f"mammostack, {engine}"], old, (form, clients)) for engine in SINGLE)
            yield Target(f"single precision, {form}, {clients} clients, to {base}", best, 1.0)
    for engine in ("openvino-bf16", "openvino-int8"):
        ours = seen[f"mammostack, {engine}"]
        for clients in effort.clients[1:]:
            for form, with_amx in (("pgm", 3.0), ("png", 2.7)):
                if engine.endswith("-int8"):
                    wanted = (3.6 if form == "pgm" else 2.7) if amx else 1.5
                else:
                    wanted = with_amx if amx else 1.0
                what = f"{engine}, {form}, {clients} clients, to {base}"
                yield Target(what, ratio(ours, old, (form, clients)), wanted)
            turn = ("png", clients)
            same = seen[f"{FLASK.name}, {engine}"]
            yield Target(f"{engine}, png, {clients} clients, to Flask with it", ratio(ours, same, turn), 1.1)
            for engine_of_others, wanted in (("torch", 4.5), ("torch-bf16", 3.0)):
                best = max(
                    ratio(each, old, turn) for name, each in seen.items() if name.endswith(f", {engine_of_others}")
                )
                told = f"{engine}, png, {clients} clients, to the best on {engine_of_others}"
                yield Target(told, ratio(ours, old, turn) / best, wanted if amx else 1.0)
        one, many = ("png", 1), ("png", 16)
        p50, cpu = ratio(ours, old, one, "p50_ms"), ratio(ours, old, many, "cpu_ms")
        yield Target(f"{engine}, p50 of one client, to {base}", p50, 0.4 if amx else 1.0, False)
        yield Target(
            f"{engine}, p99 to p50, 16 clients", median(ours.p99_ms[many]) / median(ours.p50_ms[many]), 1.3, False
        )
        yield Target(f"{engine}, memory, to {base}", ours.memory_mb / old.memory_mb, 1.1, False)
        yield Target(f"{engine}, CPU a request, to {base}", cpu, 0.36 if amx else 1.0, False)
        yield Target(f"{engine}, cold start, seconds", ours.cold_start_s, 1.5, False)


def has_amx() -> bool:
    """Tell by the system's list of the CPU's flags; targets alone depend on it."""
    information = Path("/proc/cpuinfo")
    return information.exists() and "amx_tile" in information.read_text()


def print_targets(found: list[Target]) -> None:
    print(f"\n{'ratio':62}{'seen':>6}  wanted{'' if has_amx() else ' of a CPU without AMX'}")
    for each in found:
        wanted = f"{'>=' if each.at_least else '<='} {each.wanted:.2f}"
        print(f"{each.what:62}{each.seen:6.2f}  {wanted}  {'pass' if each.met else 'FALLS SHORT'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, up to 16 clients")
    parser.add_argument("--base", default=BASE, help="the commit that is compared")
    chosen = parser.parse_args()
    effort, began = QUICK if chosen.quick else FULL, time.perf_counter()
    print(f"{WORKERS} cores; the others: {WORKERS} workers, one thread of the engine each; {effort.rounds} rounds")
    print(f"mammostack: as in production, but {' '.join(f'{k}={v}' for k, v in ROOM.items())}, so that none is refused")
    for server in OTHERS:
        if server.missing:
            print(f"{server.name} is not installed: {server.missing}")
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as name, checked_out(chosen.base) as root:
        folder, base = Path(name), base_server(chosen.base, root)
        published, old = publish(folder / "now"), publish(folder / "base", root)
        sides: dict[str, tuple[Server, Engine, Published]] = {base.name: (base, "onnx", old)}
        ours: tuple[Engine, ...] = (*SINGLE, "openvino-bf16", "openvino-int8")
        for engine in ours:
            sides[f"mammostack, {engine}"] = (MAMMOSTACK, engine, published)
        of_flask: tuple[Engine, ...] = ("openvino-bf16", "openvino-int8", "torch-bf16")
        for engine in of_flask:
            sides[f"{FLASK.name}, {engine}"] = (FLASK, engine, published)
        for server in OTHERS:
            if server.missing is None:
                sides[f"{server.name}, torch"] = (server, "torch", published)
        seen = measured(sides, effort, folder)
        print_figures(seen, effort)
        found = list(targets(seen, base.name, effort))
        print_targets(found)
    print(f"took {(time.perf_counter() - began) / 60:.0f} min, load of the last 15 minutes: {os.getloadavg()[2]:.1f}")
    return 0 if all(each.met for each in found) else FALLS_SHORT


if __name__ == "__main__":
    sys.exit(main())
