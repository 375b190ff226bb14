"""The engine without a server: as many threads as cores, a one-core session for all of them, inputs that lie ready.

Arguments: the graph's file, seconds. Prints films a second.
"""

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

from shared.modelling.engines.onnx import OnnxEngine
from tests.bench.published import SIZE


def main(graph: Path, seconds: float) -> None:
    cores = os.cpu_count() or 1
    engine, film = (
        OnnxEngine(graph.read_bytes(), cores),
        np.random.default_rng(1).random((1, 1, SIZE, SIZE), np.float32),
    )
    counts = [0] * cores

    def run(lane: int) -> None:
        while time.perf_counter() < end:
            engine.run(film)
            counts[lane] += 1

    engine.run(film)
    began = time.perf_counter()
    end = began + seconds
    lanes = [threading.Thread(target=run, args=(lane,)) for lane in range(cores)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    print(sum(counts) / (time.perf_counter() - began))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
