"""`make bench-inference COSTS=1`: what the inference service costs, over size and encoding of the image and clients.

Films of 12 bits with four clients, each size and encoding in a service of its own, started with default settings; then
one film of 8 bits with 1 to 256 clients, in one service that lets as many wait; last, the cost of a heat map for one
client.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from shared.client import InferenceClient
from shared.local.commands import ROOT
from tests.bench.published import Published, publish
from tests.bench.sides import KEY, MAMMOSTACK, Running, running

SIZES, ENCODINGS, CLIENTS = (
    ("1024", "2048", "4096"),
    ("PNG", "PGM", "DICOM", "J2K", "JPEG-LL"),
    tuple(2**n for n in range(9)),
)
SERVED_AT_ONCE = 4


def print_encodings(published: Published, seconds: float) -> None:
    subprocess.run([sys.executable, "-m", "tests.bench.films", str(published.folder)], cwd=ROOT, check=True)
    print(f"\n{f'{SERVED_AT_ONCE} clients':14}{'file':>9}{_HEAD}")
    for size in SIZES:
        for encoding in ENCODINGS:
            film = published.folder / f"{size}-{encoding}"
            with running(MAMMOSTACK, published, published.folder / f"service-{film.name}") as service:
                costs = _costs(service, film, SERVED_AT_ONCE, seconds)
            print(f"{size:5}{encoding:9}{film.stat().st_size / 2**20:6.1f} MB{costs}", flush=True)


def print_clients(published: Published, clients: tuple[int, ...], seconds: float) -> None:
    room = {"MAMMO_SERVE_THREADS": str(clients[-1] + 8), "MAMMO_SERVE_WAITING": str(clients[-1])}
    print(f"\n{'clients':14}{'':9}{_HEAD}")
    with running(MAMMOSTACK, published, published.folder / "service", **room) as service:
        for count in clients:
            print(f"{count:<14}{'':9}{_costs(service, published.film('png'), count, seconds)}", flush=True)


def print_heat_map(published: Published, answers: int) -> None:
    """With and without it by turns, so that both sides see the same machine."""
    film = published.film("png").read_bytes()
    seconds: dict[bool, list[float]] = {False: [], True: []}
    mapped = []
    with running(MAMMOSTACK, published, published.folder / "service-heat") as service:
        client = InferenceClient(f"http://127.0.0.1:{service.port}", KEY)
        for turn in range(2 * answers):
            begun = time.perf_counter()
            answer = client.predict(film, heatmap=bool(turn % 2))
            seconds[bool(turn % 2)].append(time.perf_counter() - begun)
            if answer.seconds.explain is not None:
                mapped.append(answer.seconds.explain)
    without, with_map = (median(seconds[asked]) * 1000 for asked in (False, True))
    print(
        f"\nheat map, one client: {median(mapped) * 1000:.1f} ms to make it;"
        f" the answer comes after {with_map:.1f} ms instead of {without:.1f} ms, its PNG in base64 included"
    )


_HEAD = f"{'films/s':>9}{'p50':>10}{'p99':>10}{'CPU/film':>11}{'memory':>9}"


def _costs(service: Running, film: Path, clients: int, seconds: float) -> str:
    """One line of a table; what was not answered with 200 is told."""
    before = service.cpu_s()
    result = service.measure(film, clients, seconds, 0.5 + clients * 0.09)
    if len(result.latencies) < 2:
        return f"  {result.others} of {result.good + result.others} were not answered with 200"
    cuts = quantiles(result.latencies, n=100, method="inclusive")
    cpu_ms = (service.cpu_s() - before) / result.good * 1000
    failed = f"  {result.others} not answered with 200" if result.others else ""
    spread = f"{cuts[49] * 1000:7.0f} ms{cuts[98] * 1000:7.0f} ms"
    return f"{result.rate:9.1f}{spread}{cpu_ms:8.0f} ms{service.memory_mb():6.0f} MB{failed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter, and up to 16 clients")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as folder:
        published = publish(Path(folder))
        print_encodings(published, 2.0 if quick else 6.0)
        print_clients(published, CLIENTS[:5] if quick else CLIENTS, 2.0 if quick else 6.0)
        print_heat_map(published, 20 if quick else 60)


if __name__ == "__main__":
    main()
