"""The process that plans a run, as `mammo run` does: prints its time and its memory."""

import json
import sys
import time
from pathlib import Path

from shared.modelling.profiles import PROFILES
from shared.queue.broker import Broker
from shared.runs import pipeline
from shared.runs.plan import Plan, RunOptions, make_plan
from shared.settings import QueueSettings, read_settings
from shared.store.ingest import read_dataset
from shared.store.interface import ObjectStore
from shared.store.objects import open_store


def start(store: ObjectStore, dataset: str) -> Plan:
    """Starts a run over an ingested data set."""
    plan = make_plan(
        read_dataset(store, dataset),
        PROFILES["test"],
        RunOptions(networks=("modified_cnn",), protocols=("paper",), weights={}, promote=(), seed=1),
    )
    pipeline.start(store, Broker.open(read_settings(QueueSettings).broker), plan)
    return plan


def main(dataset: str) -> None:
    store, before = open_store(read_settings(QueueSettings).store), _memory_mb()
    began = time.perf_counter()
    run = start(store, dataset).run
    seconds = time.perf_counter() - began
    print(json.dumps({"run": run, "seconds": seconds, "memory_mb": _memory_mb(), "before_mb": before}))


def _memory_mb() -> float:
    """The largest resident memory of this process so far. From /proc: what getrusage tells includes its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main(sys.argv[1])
