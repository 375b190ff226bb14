"""`python -m tests.load.exams`: many exams of large digital films sent to the inference service at the same moment.

Each request is a form of four uncompressed films of 4096 x 3328 pixels in 16 bits, 109 MB. Prints what was answered,
the most memory that the service took, and the most that lay in its folder for temporary files; ends with status 1 where
an answer is neither an exam nor 503 with Retry-After, where no film was judged, or where memory and temporary files
together exceed the limit of the shipped containers. `--again` has refused clients come again when they are told to,
until all exams are answered.
"""

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import psutil
import requests

from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_pgm
from shared.store.directory import DirectoryStore
from tests.bench.published import NETWORK, publish
from tests.support.serving import HEADERS, Served, running_service

SIZE = (3328, 4096)
MEMORY_LIMIT_MB = 2048
"""Of the inference service in docker-compose.yml, /tmp included; Kubernetes' is larger."""

_SAMPLE_S = 0.02


@dataclass
class Watched:
    """The most of memory (RSS of all processes of the service) and temporary files that was seen, bytes."""

    memory: int = 0
    files: int = 0


@dataclass
class Sent:
    """What became of the requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    films: int = 0


def exam_form(films: int = 4) -> list[tuple[str, tuple[str, bytes]]]:
    """Generated films of both breasts in turn, enlarged to the frame of a large detector and to 12 bits in 16."""
    form = []
    for number in range(films):
        side = ("right", "left")[number % 2]
        film = render(np.random.default_rng(number), side, "F", Label.BENIGN).pixels
        pixels = cv2.resize(film.astype(np.uint16) * 257, SIZE, interpolation=cv2.INTER_LINEAR)
        form.append(("image", (f"{number}-{side}.pgm", encode_pgm(np.asarray(pixels, np.uint16)))))
    return form


@contextmanager
def watching(served: Served, folder: Path) -> Iterator[Watched]:
    """Looks at memory and at `folder` all the time."""
    watched, ended = Watched(), threading.Event()
    processes = [psutil.Process(served.process.pid), *psutil.Process(served.process.pid).children(recursive=True)]

    def look() -> None:
        while not ended.wait(_SAMPLE_S):
            watched.memory = max(watched.memory, sum(process.memory_info().rss for process in processes))
            watched.files = max(watched.files, used(folder))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watched
    finally:
        ended.set()
        thread.join()


def used(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def send(served: Served, body: bytes, kind: str, clients: int, again: bool) -> Sent:
    """Sends the same form from so many clients at once."""
    sent, together, lock = Sent(), threading.Barrier(clients), threading.Lock()

    def ask() -> None:
        together.wait()
        while True:
            answer = requests.post(
                f"{served.url}/v1/exams", data=body, headers={**HEADERS, "Content-Type": kind}, timeout=300
            )
            with lock:
                sent.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    films = answer.json()["films"]
                    sent.films += sum("finding" in film for film in films)
                    return
                if answer.status_code not in (429, 503) or not answer.headers.get("Retry-After", "").isdecimal():
                    sent.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
                    return
            if not again:
                return
            time.sleep(int(answer.headers["Retry-After"]))

    with ThreadPoolExecutor(clients) as pool:
        for asked in [pool.submit(ask) for _ in range(clients)]:
            try:
                asked.result()
            except requests.RequestException as error:
                sent.wrong.append(f"no answer: {error}")
    return sent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--again", action="store_true", help="refused clients come again until they are answered")
    asked = parser.parse_args()
    form = exam_form()
    prepared = requests.Request("POST", "http://x", files=form).prepare()
    assert isinstance(prepared.body, bytes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        store = DirectoryStore(publish(folder).store)
        variables = {"MAMMO_SERVE_NETWORK": NETWORK, "TMPDIR": str(folder / "tmp")}
        with running_service(store, folder, **variables) as served:
            before = sum(each.memory_info().rss for each in psutil.Process(served.process.pid).children())
            began = time.perf_counter()
            with watching(served, folder / "tmp") as watched:
                sent = send(served, prepared.body, prepared.headers["Content-Type"], asked.clients, asked.again)
            took = time.perf_counter() - began
    print(f"{asked.clients} forms of {len(prepared.body) / 1e6:.0f} MB at once, in {took:.1f} s: "
          + ", ".join(f"{status} x {count}" for status, count in sorted(sent.statuses.items()))
          + f"; {sent.films} films judged")  # fmt: skip
    print(
        f"memory {before >> 20} MB before, {watched.memory >> 20} MB at most; temporary files {watched.files >> 20} MB"
    )
    for problem in sent.wrong:
        print(f"  wrong: {problem}")
    fits = (watched.memory + watched.files) >> 20 <= MEMORY_LIMIT_MB
    raise SystemExit(bool(sent.wrong) or not fits or not sent.films)


if __name__ == "__main__":
    main()
