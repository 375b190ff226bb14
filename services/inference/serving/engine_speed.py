"""Measure how long a film takes by each engine on one core of this CPU: a process that prints it as JSON.

Argument: the folder of graphs and golden answers. Standard input: a list of engine, graph, golden answers and their
tolerance. Engines that can't run here, or answer otherwise than the golden answers say, are left out.
"""

import json
import logging
import sys
import time
from pathlib import Path

from services.inference.serving.engines import load_engine
from shared.modelling.engines.interface import Engine, Graph
from shared.modelling.engines.names import CpuEngine
from shared.modelling.golden import check_golden, golden_inputs

_ROUNDS = 4

_log = logging.getLogger("mammostack.inference")


def main(folder: Path, jobs: list[tuple[CpuEngine, str, str, float]]) -> dict[str, float]:
    """Return the least seconds of a film by engine; engines take turns, so that a busy machine slows all."""
    loaded: dict[str, Engine] = {}
    for name, graph, golden, tolerance in jobs:
        try:
            engine = load_engine(name, Graph.of((folder / graph).read_bytes()), 1, None)
            check_golden((folder / golden).read_bytes(), lambda films, by=engine: by.run(films).logits, tolerance)
        except Exception as error:  # noqa: BLE001  whatever an engine raises, the others are measured
            _log.warning("engine left out", extra={"engine": name, "reason": str(error)})
        else:
            loaded[name] = engine
    document = json.loads((folder / jobs[0][2]).read_bytes())
    film = golden_inputs(document["size"], document["seed"])[:1]
    seconds: dict[str, float] = {}
    for _ in range(_ROUNDS):
        for timed, engine in loaded.items():
            began = time.perf_counter()
            engine.run(film)  # it has run: its golden answers are right
            seconds[timed] = min(time.perf_counter() - began, seconds.get(timed, float("inf")))
    return seconds


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), json.load(sys.stdin))))
