"""How near the augment and segment workers come to what their cores alone can do, from store to store.

A worker of each service with two processes, started as in production, does a run over a directory and over an S3 server
(moto, over HTTP on the same two cores). Before, between and after, two processes do the same work on what lies in
memory: decode, transform or segment, and encode; nothing is stored. Films are of MIAS where `MAMMO_TEST_MIAS` names a
copy, otherwise generated.

Beside the rates that were seen stands the core's processor time an image over the worker's: what is left of the core's
rate where the S3 server has a machine of its own. The server's work is in the rates and not in that.
"""

import hashlib
import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import boto3
import cv2
import psutil

from services.augment.core import apply_transform, draw_transform
from services.segment.core import segment_image
from shared.allocator import film_variables
from shared.domain.films import Film, Manifest, describe
from shared.domain.records import Label
from shared.imaging.formats.decode import decode, encode_pgm, encode_png
from shared.local.commands import ROOT, worker_command
from shared.modelling.profiles import PROFILES, Profile
from shared.queue.broker import Broker
from shared.runs import pipeline
from shared.runs.plan import RunOptions, make_plan
from shared.settings import QueueSettings, read_settings
from shared.store import layout
from shared.store.ingest import film_key, write_manifests
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from tests.bench.dataset import films
from tests.support.servers import running_broker, running_s3

FILMS, VARIANTS, PROCESSES, CORE_S = 240, 4, 2, 4.0
STAGES = ("augment", "segment")
WANTED = 0.85
RECIPE = PROFILES["full"].augmentation.model_copy(update={"variants": VARIANTS})


@dataclass(frozen=True)
class Seen:
    """Images a second, and what one took of the cores, ms: on a busy machine that tells more."""

    rate: float
    cpu_ms: float


Rates = dict[str, Seen]
"""By stage."""


# ---- the cores alone -------------------------------------------------------------------------------------------------


def augment_core(pgm: bytes) -> list[bytes]:
    """What `services.augment.tasks` does with a film, but for the store."""
    film = decode(pgm)
    transforms = [draw_transform(RECIPE, "film", number, *film.pixels.shape[::-1]) for number in range(VARIANTS)]
    return [encode_png(apply_transform(film.pixels, transform, film.bits)) for transform in transforms]


def measure_cores(pgms: list[bytes]) -> Rates:
    """Two processes at once, on two cores."""
    pngs = [png for pgm in pgms[:4] for png in augment_core(pgm)]
    works: dict[str, tuple[Callable[[bytes], object], list[bytes], int]] = {
        "augment": (augment_core, pgms, VARIANTS),
        "segment": (segment_image, pngs, 1),
    }
    os.environ |= film_variables()  # which the new processes start with
    with multiprocessing.get_context("spawn").Pool(PROCESSES, _prepare) as pool:
        measured = {}
        for stage, (work, inputs, images) in works.items():
            each = pool.starmap(_repeat, [(work, inputs, images)] * PROCESSES, chunksize=1)
            measured[stage] = Seen(sum(seen.rate for seen in each), mean(seen.cpu_ms for seen in each))
    return measured


def _prepare() -> None:
    """As the workers are."""
    cv2.setNumThreads(1)


def _repeat(work: Callable[[bytes], object], inputs: list[bytes], images: int) -> Seen:
    work(inputs[0])
    began, cpu, calls = time.perf_counter(), time.process_time(), 0
    for data in itertools.cycle(inputs):
        work(data)
        calls += images
        if (elapsed := time.perf_counter() - began) >= CORE_S:
            break
    return Seen(calls / elapsed, (time.process_time() - cpu) * 1000 / calls)


# ---- the workers -----------------------------------------------------------------------------------------------------


def measure_workers(location: str, pgms: list[bytes]) -> Rates:
    """A run from its start to the end of its second stage; the workers are ready before it starts."""
    with running_broker() as url, tempfile.TemporaryDirectory() as folder:
        os.environ |= {"MAMMO_STORE": location, "MAMMO_REDIS_URL": url}
        settings = read_settings(QueueSettings)
        store, queue = open_store(settings.store), Broker.open(settings.broker)
        dataset = describe(store_films(store, pgms))
        profile = Profile(**{**dict(PROFILES["test"]), "augmentation": RECIPE})
        plan = make_plan(
            dataset, profile, RunOptions(networks=("resnet50",), protocols=("patient",), weights={}, promote=(), seed=1)
        )
        measured, images = {}, FILMS * VARIANTS
        with running_workers(Path(folder)) as workers:
            began = time.perf_counter()
            pipeline.start(store, queue, plan)
            for stage in STAGES:
                before = _cpu_s(workers[stage])
                while not store.exists(layout.stage_marker(plan.run, stage)):
                    time.sleep(0.05)
                began, span = time.perf_counter(), time.perf_counter() - began
                measured[stage] = Seen(images / span, (_cpu_s(workers[stage]) - before) * 1000 / images)
    return measured


def store_films(store: ObjectStore, pgms: list[bytes]) -> Manifest:
    records, files = [], {}
    for number, data in zip(range(FILMS), itertools.cycle(pgms), strict=False):
        film, label = f"film{number:04d}", tuple(Label)[number // 2 % 3]
        files[film] = data
        records.append(
            Film(
                id=film, patient=f"p{number // 2:04d}", side="left" if number % 2 else "right", density="G",
                label=label, lesions=(), sha256=hashlib.sha256(data).hexdigest(), width=1024, height=1024,
            )
        )  # fmt: skip
    manifest = Manifest(dataset="films", synthetic=True, films=tuple(records))
    dataset = describe(manifest)
    for record in records:
        store.put(film_key(dataset, record), files[record.id])
    write_manifests(store, dataset, manifest)
    return manifest


@contextmanager
def running_workers(folder: Path) -> Iterator[dict[str, psutil.Popen]]:
    """One of each stage, ready to work."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAMMO_WORKER_PROCESSES": str(PROCESSES)}
    started: dict[str, psutil.Popen] = {}
    logs = [folder / stage for stage in STAGES]
    try:
        for log in logs:
            with log.open("wb") as file:
                command = worker_command(log.name)
                started[log.name] = psutil.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file)
        while not all(" ready." in log.read_text(errors="replace") for log in logs):
            if any(worker.poll() is not None for worker in started.values()):
                raise RuntimeError("a worker has ended:\n" + "\n".join(log.read_text()[-1500:] for log in logs))
            time.sleep(0.1)
        yield started
    finally:
        for worker in started.values():
            worker.terminate()
        for worker in started.values():
            worker.wait()


def _cpu_s(worker: psutil.Popen) -> float:
    """What a worker and its children have used of the cores."""
    return sum(sum(process.cpu_times()[:2]) for process in (worker, *worker.children()))


# ---- side by side ----------------------------------------------------------------------------------------------------


def main() -> None:
    pgms = [encode_pgm(film) for film in films()]
    print(f"from store to store, {PROCESSES} processes of each worker on {os.cpu_count()} cores, images/s")
    print(f"  {'':24}" + "".join(f"{stage:>10}{'of core':>9}{'CPU ms':>8}{'by CPU':>8}" for stage in STAGES))
    cores = [measure_cores(pgms)]
    seen: dict[str, Rates] = {}
    with tempfile.TemporaryDirectory() as folder:
        seen["a directory"] = measure_workers(folder, pgms)
    cores.append(measure_cores(pgms))
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    with running_s3() as url:
        os.environ["MAMMO_S3_ENDPOINT_URL"] = url
        boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket="bench")
        (server,) = [child for child in psutil.Process().children() if "moto.server" in child.cmdline()]
        before, began = sum(server.cpu_times()[:2]), time.perf_counter()
        seen["S3 over HTTP"] = measure_workers("s3://bench", pgms)
        share = (sum(server.cpu_times()[:2]) - before) / (time.perf_counter() - began) / PROCESSES
    cores.append(measure_cores(pgms))
    core = {
        stage: Seen(mean(each[stage].rate for each in cores), mean(each[stage].cpu_ms for each in cores))
        for stage in STAGES
    }
    for name, rates in {"the core alone, in memory": core, **seen}.items():
        print(f"  {name:24}" + "".join(cells(core[stage], it) for stage, it in rates.items()))
    print(f"  wanted {WANTED:.0%}; the S3 server itself took {share:.0%} of the two cores meanwhile")
    print("  by CPU: the core's CPU ms over the worker's, as it is with the S3 server on another machine")


def cells(core: Seen, it: Seen) -> str:
    return f"{it.rate:10.0f}{it.rate / core.rate:9.0%}{it.cpu_ms:8.1f}{core.cpu_ms / it.cpu_ms:8.0%}"


if __name__ == "__main__":
    main()
