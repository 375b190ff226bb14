"""`make bench-inference BATCHES=1`: the inference worker's films a second over a directory, beside the cores alone.

The worker is started as in production, with one process, and predicts batches of 1024 x 1024 films, PNG and PGM.
Before and after each batch, a process on each core does what can't be done without on films in memory: it decodes,
segments, prepares, and runs the network with the engine that the worker has chosen. The worker also reads the store,
counts attempts in the broker, and writes findings.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median

import cv2
import psutil

from services.inference.serving.model_loader import WantedEngine, load_model
from shared.allocator import film_variables
from shared.api.batches import BatchRequest
from shared.batches import flow
from shared.batches.plan import BatchPlan, batch_id, make_batch, read_batch
from shared.imaging.preprocess import prepare
from shared.local.commands import ROOT, worker_command
from shared.queue.broker import Broker
from shared.settings import QueueSettings, read_settings
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.bench.published import NETWORK, VERSION, Published, publish
from tests.bench.results import FALLS_SHORT
from tests.support.servers import running_broker, wait_until

WANTED = 0.85
CORES = os.cpu_count() or 1
_STARTED_WITHIN_S, _ENDED_WITHIN_S = 60.0, 300.0


def core(folder: Path, cache: Path, seconds: float) -> float:
    """Return the films a second of one thread: from image files in memory to logits."""
    cv2.setNumThreads(1)
    published = Published(folder)
    model = load_model(DirectoryStore(published.store), NETWORK, VERSION, WantedEngine(1, "auto", cache))
    files = [published.film(form).read_bytes() for form in ("png", "pgm")]

    def run_all() -> None:
        for data in files:
            model.engine.run(prepare(data, model.preprocessing).input[None])

    run_all()
    films, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        run_all()
        films += len(files)
    return films / elapsed


def cores(folder: Path, cache: Path, seconds: float) -> float:
    """Return the films a second of a process on each core."""
    os.environ |= film_variables()  # with which the new processes start, as the worker does
    with multiprocessing.get_context("spawn").Pool(CORES) as pool:
        return sum(pool.starmap(core, [(folder, cache, seconds)] * CORES, chunksize=1))


@contextmanager
def running_worker(published: Published, cache: Path, broker_url: str) -> Iterator[None]:
    """Run the inference worker until the block ends."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAMMO_STORE": str(published.store)}
    environment |= {"MAMMO_REDIS_URL": broker_url, "MAMMO_SERVE_CACHE": str(cache)}
    log = published.folder / "worker.log"
    with log.open("wb") as file:
        worker = psutil.Popen(worker_command("inference"), cwd=ROOT, env=environment, stdout=file, stderr=file)
    try:
        wait_until(lambda: " ready." in log.read_text(errors="replace") or worker.poll() is not None, _STARTED_WITHIN_S)
        yield
    finally:
        worker.terminate()
        worker.wait()


def predicted(store: ObjectStore, queue: Broker, films: int) -> float:
    """Have the worker predict a batch; return its films a second."""
    request = BatchRequest(keys=tuple(f"inbox/{number:04d}" for number in range(films)))
    named = {"owner": "bench", "network": NETWORK, "version": VERSION}
    plan = make_batch(store, batch_id("bench", None), request, "inbox/", **named)
    began = time.perf_counter()
    flow.begin(store, queue, plan)
    wait_until(lambda: flow.has_ended(store, plan), _ENDED_WITHIN_S)
    rate = films / (time.perf_counter() - began)
    _check(store, read_batch(store, plan.batch))
    return rate


def _check(store: ObjectStore, plan: BatchPlan) -> None:
    """Raise RuntimeError unless every film has its finding."""
    ended = flow.describe(store, plan)
    if (ended.done, ended.failed) != (plan.images, 0):
        raise RuntimeError(f"{ended.done} of {plan.images} films are done, {ended.failed} without a finding")


def main() -> int:
    """Print both rates and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer films, one round")
    quick = parser.parse_args().quick
    films, rounds = (96, 1) if quick else (320, 3)
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as name, running_broker() as url:
        published, cache = publish(Path(name)), Path(name) / "cache"
        os.environ |= {"MAMMO_STORE": str(published.store), "MAMMO_REDIS_URL": url}
        settings, store = read_settings(QueueSettings), DirectoryStore(published.store)
        queue = Broker.open(settings.broker)
        for number in range(films):
            store.put(f"inbox/{number:04d}", published.film(("png", "pgm")[number % 2]).read_bytes())
        seconds = films / 20 / CORES
        with running_worker(published, cache, url):
            predicted(store, queue, 16)  # loads the model, and measures the engines
            alone, batches = [cores(published.folder, cache, seconds)], []
            for _ in range(rounds):
                batches.append(predicted(store, queue, films))
                alone.append(cores(published.folder, cache, seconds))
    ratio = median(rate / mean(alone[at : at + 2]) for at, rate in enumerate(batches))
    print(f"the cores alone, decode to logits in memory  {median(alone):6.1f} films/s ({CORES} processes)")
    print(f"the inference worker over a directory        {median(batches):6.1f} films/s (one process)")
    print(f"ratio {ratio:.2f}  >= {WANTED}  {'pass' if ratio >= WANTED else 'FALLS SHORT'}")
    return FALLS_SHORT if ratio < WANTED else 0


if __name__ == "__main__":
    sys.exit(main())
