"""`make bench-scale`: what large data sets cost ingestion, the planner, the store, the queue and training.

All on this machine; where it says so, over a real broker and a real S3 server on loopback:
ingest     films from an archive next to a folder, and next to the bare decoding of the films
shape      plan, split and evaluation over as many films and patients as RSNA's, each in a process of its own: time and
           memory; preparation of training over 8,000 films and over all: memory
plan       a process that starts a run of 100,000 films: films enqueued a second, its largest resident memory
throughput 1, 2 and 4 workers over the same shards, and the ratios between them, with a core that sleeps
drain      all 100,000 films through both stages: requests to S3 by kind, memory of the workers
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil

from shared.domain.films import Film, Manifest, describe
from shared.domain.records import Label
from shared.local.commands import ROOT
from shared.queue.messages import Stage
from shared.runs.plan import Plan, read_plan
from shared.settings import StoreSettings, read_settings
from shared.store import layout
from shared.store.ingest import write_manifests
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from tests.bench import ingesting, large_set
from tests.bench.planner import start
from tests.support.servers import FaultyS3, running_broker

FILMS, SCALING_FILMS = 100_000, 1_600
SECONDS_A_FILM = 0.05
FEW_FILMS = 8_000
MOST_SECONDS, MOST_MB, MOST_GROWTH = 10.0, 500.0, 1.25
"""Wanted of each step over the shape of RSNA; the last for nearly seven times as many films."""

WORKERS = (1, 2, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("ingest", "shape", "queue"))
    only = parser.parse_args().only
    if only in {None, "ingest"}:
        ingesting.main()
    if only in {None, "shape"}:
        _measure_shape()
    if only in {None, "queue"}:
        _measure_queue()


def _measure_queue() -> None:
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "MAMMO_STORE": "s3://bench"}
    with FaultyS3() as server, running_broker() as url:
        os.environ |= {"MAMMO_S3_ENDPOINT_URL": server.url, "MAMMO_REDIS_URL": url}
        boto3.client("s3", endpoint_url=server.url, region_name="us-east-1").create_bucket(Bucket="bench")
        store = open_store(read_settings(StoreSettings))
        _store_films(store, "many", FILMS)
        _store_films(store, "few", SCALING_FILMS)
        run = _measure_planner(server)
        _measure_throughput(store)
        _measure_drain(store, server, run)


def _store_films(store: ObjectStore, name: str, count: int) -> None:
    """The manifests of so many films. There are no images: the core that sleeps reads none."""
    films = tuple(_film(number) for number in range(count))
    manifest = Manifest(dataset=name, synthetic=True, films=films)
    write_manifests(store, describe(manifest), manifest)
    print(f"{count:,} films in {-(-count // describe(manifest).shard_films):,} shards are stored", flush=True)


def _film(number: int) -> Film:
    label = tuple(Label)[number // 2 % 3]
    return Film(
        id=f"film{number:07d}", patient=f"p{number // 2:07d}", side="left" if number % 2 else "right", density="G",
        label=label, lesions=(), sha256=f"{number:064x}", width=64, height=64,
    )  # fmt: skip


# ---- the shape of RSNA -----------------------------------------------------------------------------------------------


def _measure_shape() -> None:
    print(f"\nshape of RSNA: {large_set.FILMS:,} films of {large_set.PATIENTS:,} patients")
    for step in ("plan", "split", "evaluate"):
        took = _in_a_process(step, large_set.FILMS)
        print(
            f"  {step}: {took['seconds']:.1f} s (wanted: below {MOST_SECONDS:.0f}), of which the processor worked "
            f"{took['cpu_seconds']:.1f} s; memory beyond its imports "
            f"{took['peak_mb'] - took['imported_mb']:.0f} MB (wanted: below {MOST_MB:.0f}), with them "
            f"{took['peak_mb']:.0f} MB",
            flush=True,
        )
    few, all_films = (_in_a_process("prepare", films)["peak_mb"] for films in (FEW_FILMS, large_set.FILMS))
    print(
        f"  memory of training preparation: {FEW_FILMS:,} films {few:.0f} MB, {large_set.FILMS:,} films "
        f"{all_films:.0f} MB, ratio {all_films / few:.2f} (wanted: at most {MOST_GROWTH})",
        flush=True,
    )


def _in_a_process(step: str, films: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.large_set", step, str(films)]
    answer: dict[str, float] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    return answer


# ---- the planner -----------------------------------------------------------------------------------------------------


def _measure_planner(server: FaultyS3) -> str:
    before = server.requests["LIST"]
    answer = subprocess.run(
        [sys.executable, "-m", "tests.bench.planner", "many"], cwd=ROOT, check=True, capture_output=True
    )
    seen: dict[str, Any] = json.loads(answer.stdout)
    print(
        f"\nplan: {FILMS:,} films enqueued in {seen['seconds']:.1f} s, {FILMS / seen['seconds']:,.0f} films/s; "
        f"largest memory {seen['memory_mb']:.0f} MB, "
        f"{seen['before_mb']:.0f} MB of it before it began; {server.requests['LIST'] - before} LIST requests",
        flush=True,
    )
    return str(seen["run"])


# ---- throughput ------------------------------------------------------------------------------------------------------


def _measure_throughput(store: ObjectStore) -> None:
    """The broker's messages of the large run wait meanwhile in a queue of the same name, so this uses another one."""
    print(f"\nthroughput of a core that sleeps {SECONDS_A_FILM * 1000:.0f} ms a film:")
    alone = 0.0
    for count in WORKERS:
        with running_broker() as url:
            os.environ["MAMMO_REDIS_URL"], large = url, os.environ["MAMMO_REDIS_URL"]
            plan = start(store, "few")
            with _workers(count, SECONDS_A_FILM):
                _wait(store, plan, "augment", plan.count("augment"))
            rate = _rate(store, plan)
            for unit in plan.units("augment"):
                store.delete(unit.done_key)
            os.environ["MAMMO_REDIS_URL"] = large
        alone = alone or rate
        ratio = rate / alone
        print(f"  {count} workers: {rate:6.1f} films/s, {ratio:.2f} times one worker ({ratio / count:.0%} of linear)")


def _rate(store: ObjectStore, plan: Plan) -> float:
    """Films a second while all workers were at work: between the first tenth of the shards and the last."""
    ended = sorted(entry.modified for entry in store.entries(plan.done_prefix("augment")))
    tenth = len(ended) // 10
    return (len(ended) - 2 * tenth) * plan.shard_films / (ended[-tenth - 1] - ended[tenth - 1])


# ---- all of them -----------------------------------------------------------------------------------------------------


def _measure_drain(store: ObjectStore, server: FaultyS3, run: str) -> None:
    stages: tuple[Stage, ...] = ("augment", "segment")
    plan, began, before = read_plan(store, run), time.perf_counter(), dict(server.requests)
    with _workers(max(WORKERS), 0) as workers:
        for stage in stages:
            _wait(store, plan, stage, 1, marker=True)
        processes = [p for worker in workers for p in (worker, *worker.children())]
        memory = max(process.memory_info().rss for process in processes) / 2**20
    seconds = time.perf_counter() - began
    units = plan.count("augment") + plan.count("segment")
    print(f"\ndrain: {FILMS:,} films through two stages ({units:,} units) in {seconds:.0f} s, core of 0 ms")
    made = {kind: server.requests[kind] - before.get(kind, 0) for kind in sorted(server.requests)}
    print("  requests to S3: " + ", ".join(f"{kind} {count:,}" for kind, count in made.items()))
    print(f"  largest worker process: {memory:.0f} MB")


@contextmanager
def _workers(count: int, seconds_a_film: float) -> Iterator[list[psutil.Process]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_SECONDS_A_FILM": str(seconds_a_film)}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tests.bench.sleeping", "worker", "-Q", "augment,segment",
                 "-n", f"bench-{number}@%h", "--concurrency", "1", "--without-gossip", "--without-mingle"],
                cwd=ROOT, env=environment, stdout=log, stderr=log,
            )
            for number in range(count)
        ]  # fmt: skip
        try:
            yield [psutil.Process(worker.pid) for worker in started]
        finally:
            for worker in started:
                worker.terminate()
            for worker in started:
                worker.wait()


def _wait(store: ObjectStore, plan: Plan, stage: Stage, units: int, *, marker: bool = False) -> None:
    """Until a stage is done: told by its marker, which needs no list, or by so many of its manifests."""
    while True:
        if marker and store.exists(layout.stage_marker(plan.run, stage)):
            return
        if not marker and sum(1 for _ in store.list(plan.done_prefix(stage))) >= units:
            return
        time.sleep(1)


if __name__ == "__main__":
    main()
