"""`make bench-gateway`: from the last byte of an exam to its stored results, many exams at once, and C-STORE intake.

Gateway, worker, inference service, archive and broker are processes on this machine with the settings that they have by
default. The network is a small one, so that prediction hides little of what the gateway costs.
"""

import argparse
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

from services.gateway.bootstrap import predict_exam
from shared.local.broker import free_port
from shared.local.commands import ROOT
from shared.store.directory import DirectoryStore
from tests.bench import gateway_sides as sides
from tests.bench.results import record

MOST_EXTRA_S, LEAST_INTAKE, MOST_GROWTH = 1.0, 0.8, 1.1
"""Limits that are printed next to the figures."""

_SENDERS = 8
_STORESCU = shutil.which("storescu")


def latency(exams: int) -> str:
    """Measure the time from last byte to stored results next to that of the prediction alone, by turns."""
    views = sides.Views.draw(sides.LARGE)
    alone: list[float] = []
    whole: list[float] = []
    with sides.surroundings() as around:
        for number in range(exams + 2):
            films = views.exam(number)
            began = time.perf_counter()
            predict_exam(around.inference.client, films, "screening")
            alone.append(time.perf_counter() - began)
            around.push(films)
            began = time.perf_counter()
            study = sides.study_of(films)
            _wait(lambda: around.results(study) == sides.RESULTS, 120)  # noqa: B023  called at once
            whole.append(time.perf_counter() - began)
    alone, whole = alone[2:], whole[2:]
    extra = median(whole) - median(alone)
    megabytes = sum(map(len, films)) / 4e6
    return "\n".join(
        [
            f"{exams} exams of four uncompressed films of {megabytes:.1f} MB, one after the other, sent by C-STORE",
            f"  prediction alone, p50:             {median(alone):6.2f} s",
            f"  last byte in to results stored:    {median(whole):6.2f} s p50, {max(whole):.2f} s at most",
            f"  the gateway adds:                  {extra:6.2f} s (wanted {MOST_EXTRA_S:.1f} at most)",
        ]
    )


def trickle(exams: int) -> str:
    """Watch what becomes of many exams that trickle in from several senders, and the memory meanwhile."""
    views = sides.Views.draw(sides.SMALL)
    memory: list[float] = []
    with sides.surroundings() as around:
        numbers = range(exams)
        shares = [[views.exam(number) for number in numbers[first::_SENDERS]] for first in range(_SENDERS)]
        studies = [sides.study_of(films) for share in shares for films in share]
        began = time.perf_counter()
        with _sampling(lambda: memory.append(sum(around.memory_mb().values()))):
            senders = [threading.Thread(target=_trickle, args=(around, share, n)) for n, share in enumerate(shares)]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            sent = time.perf_counter() - began
            with suppress(TimeoutError):
                _wait(lambda: all(around.results(study) == sides.RESULTS for study in studies), 60 + 3 * exams, 1.0)
            took = time.perf_counter() - began
        whole = sum(around.results(study) == sides.RESULTS for study in studies)
        left = sum(1 for _ in DirectoryStore(Path(around.gateway.variables["MAMMO_STORE"])).list("gateway/"))
    first, last = median(memory[: len(memory) // 4]), median(memory[-(len(memory) // 4) :])
    return "\n".join(
        [
            f"{exams} exams trickling in from {_SENDERS} senders at once, film by film; sent in {sent:.0f} s",
            f"  with one result of each kind:        {whole} of {exams} after {took:.0f} s, {exams / took:.1f} exams/s",
            f"  films and predictions left behind:    {left}",
            f"  memory of gateway and worker:         {first:.0f} MB in the first quarter, {last:.0f} MB in the last,",
            f"                                        ratio {last / first:.2f} (wanted {MOST_GROWTH:.1f} at most)",
        ]
    )


def _trickle(around: sides.Surroundings, exams: list[list[bytes]], seed: int) -> None:
    """Send films one by one, a few exams at a time, in any order."""
    chance = random.Random(seed)  # noqa: S311  no secret
    waiting, begun = list(exams), list[list[bytes]]()
    while waiting or begun:
        while waiting and len(begun) < 3:
            begun.append(list(waiting.pop()))
        films = chance.choice(begun)
        around.push([films.pop(chance.randrange(len(films)))], f"UNIT{seed}")
        begun = [each for each in begun if each]


def intake(rounds: int) -> str:
    """Measure how fast our listener keeps films next to the shortest one of pynetdicom, by turns."""
    views = sides.Views.draw(sides.LARGE)
    speeds: dict[str, list[float]] = {"bare": [], "gateway": []}
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as name, _listeners(Path(name)) as ports:
        for turn in range(rounds + 1):
            films = [film for exam in (2 * turn, 2 * turn + 1) for film in views.exam(exam)]
            for side, port in ports.items():
                seconds = _seconds_to_send(films, Path(name), port)
                if turn:
                    speeds[side].append(sum(map(len, films)) / 1e6 / seconds)
            for written in [*Path(name).glob("bare/*.dcm"), *Path(name).rglob("inbox/*/*.dcm")]:
                written.unlink()
    bare, ours = median(speeds["bare"]), median(speeds["gateway"])
    return "\n".join(
        [
            f"C-STORE of films of 14.7 MB from {'storescu of DCMTK' if _STORESCU else 'pynetdicom'}, {rounds} turns",
            f"  bare pynetdicom that writes files:  {bare:6.0f} MB/s",
            f"  the gateway's listener and inbox:   {ours:6.0f} MB/s",
            f"  ratio:                              {ours / bare:6.2f} (wanted {LEAST_INTAKE:.1f} at least)",
        ]
    )


@contextmanager
def _listeners(folder: Path) -> Iterator[dict[str, int]]:
    """Run both listeners as processes; yield their ports."""
    ports = {side: free_port() for side in ("bare", "gateway")}
    processes = []
    try:
        for side, port in ports.items():
            (folder / side).mkdir()
            command = [sys.executable, "-m", "tests.bench.gateway_sides", side, str(port), str(folder / side)]
            processes.append(subprocess.Popen(command, cwd=ROOT))
            _wait(lambda: _listens(port), 30)  # noqa: B023  called at once
        yield ports
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _seconds_to_send(films: list[bytes], folder: Path, port: int) -> float:
    paths = []
    for number, film in enumerate(films):
        paths.append(str(folder / f"{number}.dcm"))
        Path(paths[-1]).write_bytes(film)
    began = time.perf_counter()
    if _STORESCU:
        subprocess.run([_STORESCU, "-aec", "MAMMOSTACK", "127.0.0.1", str(port), *paths], check=True)
    else:
        sides.send(port, films)
    return time.perf_counter() - began


@contextmanager
def _sampling(sample: Callable[[], None]) -> Iterator[None]:
    """Call `sample` every half second meanwhile."""
    ended = threading.Event()

    def samples() -> None:
        while not ended.wait(0.5):
            sample()

    thread = threading.Thread(target=samples)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _wait(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(pause)


def main() -> None:
    """Run one part or all, each once; tables go to benchmarks/RESULTS.md with --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("latency", "trickle", "intake"))
    parser.add_argument("--record", action="store_true", help="keep the tables in benchmarks/RESULTS.md")
    chosen = parser.parse_args()
    parts: dict[str, Callable[[], str]] = {
        "latency": lambda: latency(12),
        "trickle": lambda: trickle(200),
        "intake": lambda: intake(8),
    }
    for name, part in parts.items():
        if chosen.only in (None, name):
            table = part()
            print(f"\n{table}", flush=True)
            if chosen.record:
                record(f"make bench-gateway ONLY={name}", table)


if __name__ == "__main__":
    main()
