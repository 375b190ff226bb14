"""Clients for the profile `load`: `load.py URL`.

LOAD_CLIENTS of them, each with one generated film at a time, until they are stopped. Every ten seconds a line says how
many were answered and refused, and how long the answers took.
"""

import os
import sys
import threading
import time
from collections import Counter

import numpy as np

from shared.client import ApiError, InferenceClient
from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.errors import MammoError
from shared.imaging.formats.decode import encode_png
from shared.settings import client_key

REPORT_S = 10.0


class Tally:
    def __init__(self) -> None:
        self.lock, self.outcomes, self.seconds = threading.Lock(), Counter[str](), list[float]()

    def add(self, outcome: str, seconds: float) -> None:
        with self.lock:
            self.outcomes[outcome] += 1
            self.seconds.append(seconds)

    def take(self) -> str:
        with self.lock:
            outcomes, seconds = dict(self.outcomes), sorted(self.seconds)
            self.outcomes.clear()
            self.seconds.clear()
        middle = f"{seconds[len(seconds) // 2]:.3f} s" if seconds else "none"
        return f"{len(seconds) / REPORT_S:.1f} requests/s, median {middle}: {outcomes}"


def ask(url: str, films: list[bytes], tally: Tally, first: int) -> None:
    client = InferenceClient(url, client_key())
    for turn in range(first, sys.maxsize):
        began, pause = time.monotonic(), 0.0
        try:
            outcome = client.predict(films[turn % len(films)]).label.value
        except ApiError as error:
            outcome, pause = error.problem.title if error.problem else "no answer", error.retry_after_s or 1
        except MammoError as error:
            outcome, pause = error.code, 1
        tally.add(outcome, time.monotonic() - began)
        time.sleep(pause)


def main(url: str) -> None:
    sides, labels = ("left", "right"), tuple(Label)
    films = [
        encode_png(render(np.random.default_rng(n), sides[n % 2], "G", labels[n % 3]).pixels)  # type: ignore[arg-type]
        for n in range(6)
    ]
    tally = Tally()
    for number in range(int(os.environ.get("LOAD_CLIENTS", "4"))):
        threading.Thread(target=ask, args=(url, films, tally, number), daemon=True).start()
    while True:
        time.sleep(REPORT_S)
        print(tally.take(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
