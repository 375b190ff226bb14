"""One step of a run over a data set of the shape of RSNA's, in a process of its own: prints its time and its memory.

There are as many films, patients, breasts with cancer and repeated views as in the training set of the RSNA 2022
challenge (54,706 films of 11,913 patients); patients, scores and all else are made up, and no image stands behind them.
"""

import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

import services  # noqa: F401  sets what OpenMP must know before it is imported
from services.train.data.inputs import job_split, load_images
from services.train.data.run_split import run_split
from services.train.evaluation.evaluate import evaluate_run
from services.train.jobs import JobResult, parse_job
from shared.digests import sha256_hex
from shared.domain.films import Film, Manifest, Shard, Transform, Variant, describe
from shared.domain.records import CLASSES, Label
from shared.imaging.formats.decode import encode_png
from shared.imaging.preprocess import Preprocessing
from shared.modelling.evaluation import EpochRecord, FoldHistory, WeightsReport
from shared.modelling.predictions import FoldPredictions
from shared.modelling.profiles import PROFILES
from shared.runs import pipeline
from shared.runs.plan import Plan, RunOptions, make_plan
from shared.store.directory import DirectoryStore
from shared.store.ingest import read_dataset, write_manifests
from tests.support.memory_queue import MemoryQueue

FILMS, PATIENTS = 54_706, 11_913
_MALIGNANT, _BENIGN = 486, 685  # patients with one such breast
_VIEWS = ("CC", "MLO")
_FOLDS = 5
_FEW = 400  # films whose pixels all others have
_PLANNED = 4_000  # enough patients of each label for a plan
_EDGE, _SIZE = 80, 64  # of films and of network inputs, pixels
_JOB = parse_job("resnet50/patient/fold-0")


def films(count: int = FILMS) -> Iterator[Film]:
    """Yield films of exams of four views, and more of some, in the order of their ids."""
    patients = round(count * PATIENTS / FILMS)
    sizes = 4 + (np.arange(patients) < count - 4 * patients)
    order = np.random.default_rng(1).permutation(patients)
    malignant, benign = (round(part * patients / PATIENTS) for part in (_MALIGNANT, _BENIGN))
    rank = {int(patient): place for place, patient in enumerate(order)}
    for patient in range(patients):
        place = rank[patient]
        worst = Label.MALIGNANT if place < malignant else Label.BENIGN if place < malignant + benign else Label.NORMAL
        for number in range(sizes[place]):
            left = number % 4 < 2
            yield Film(
                id=f"{patient:06d}-{number}",
                patient=f"{patient:06d}",
                side="left" if left else "right",
                density=("F", "G", "D", None)[place % 4],
                label=worst if left else Label.NORMAL,
                lesions=(),
                sha256=f"{patient * 10 + number:064x}",
                width=64,
                height=64,
                view=_VIEWS[number % 2],
                exam=f"e{patient:06d}",
                acquisition="digital",
                bits=12,
            )


def manifest_of(count: int) -> Manifest:
    """All of them in a data set."""
    return Manifest(dataset="large", synthetic=True, films=tuple(films(count)))


def _variant(film: Film, **stored: str) -> Variant:
    """The film as stages pass it on."""
    return Variant(
        **film.exposure,
        **film.model_dump(include={"patient", "side", "density", "label", "lesions"}),
        film=film.id,
        variant=0,
        transform=Transform(),
        **{"key": film.id, "sha256": film.sha256, **stored},
    )


def plan_of(manifest: Manifest) -> Plan:
    """A run of one network in five folds."""
    profile = PROFILES["lesions"].model_copy(update={"repeats": 1})
    options = RunOptions(networks=("resnet50",), protocols=("patient",), weights={}, promote=(), seed=1)
    return make_plan(describe(manifest), profile, options)


def plan_step(count: int, folder: Path) -> Callable[[], object]:
    """Read what is known of an ingested data set, and plan and store a run over it, as `mammo run` does."""
    manifest = manifest_of(count)
    store = DirectoryStore(folder)
    write_manifests(store, describe(manifest), manifest)
    del manifest
    profile = PROFILES["lesions"]
    options = RunOptions(networks=("resnet50",), protocols=("patient",), weights={}, promote=(), seed=1)

    def run() -> None:
        plan = make_plan(read_dataset(store, "large"), profile, options)
        pipeline.start(store, MemoryQueue(), plan)

    return run


def split_step(count: int, _folder: Path) -> Callable[[], object]:
    """Divide the patients for one job."""
    manifest = manifest_of(count)
    images, plan = tuple(map(_variant, manifest.films)), plan_of(manifest)
    return lambda: job_split(images, plan, _JOB)


def prepare_step(count: int, folder: Path) -> Callable[[], object]:
    """Make the network inputs of all films, as the first job of a run does, and the split of this job.

    All films have the pixels of a few, so that there is room for them; each is decoded by itself.
    """
    plan = plan_of(manifest_of(_PLANNED)).model_copy(update={"films": count, "large": True})
    store = DirectoryStore(folder)
    _write_segmented(store, plan, count)

    def run() -> None:
        images = load_images(store, plan, Preprocessing(size=_SIZE))
        run_split(store, plan, _JOB, images)

    return run


def _write_segmented(store: DirectoryStore, plan: Plan, count: int) -> None:
    stored = []
    for number in range(_FEW):
        pixels = np.random.default_rng(number).integers(1, 4096, (_EDGE, _EDGE), np.uint16)
        files = {"key": encode_png(pixels), "mask_key": encode_png(np.full((_EDGE, _EDGE), 255, np.uint8))}
        for name, data in files.items():
            store.put(f"data_segmentation/{number}/{name}.png", data)
        keys = {name: f"data_segmentation/{number}/{name}.png" for name in files}
        digests = {"sha256": sha256_hex(files["key"]), "mask_sha256": sha256_hex(files["mask_key"])}
        stored.append(keys | digests)
    made = films(count)
    for unit, size in zip(plan.units("segment"), plan.shards, strict=True):
        variants = tuple(_variant(film, **stored[number % _FEW]) for number, film in enumerate(islice(made, size)))
        recipe = plan.augmentation.segmented_id
        shard = Shard(dataset="large", recipe=recipe, shard=unit.name, source_sha256="made up", variants=variants)
        store.put(unit.done_key, shard.model_dump_json().encode())


def evaluate_step(count: int, _folder: Path) -> Callable[[], object]:
    """Evaluate one network in five folds, by film, breast and exam, in groups, and side by side."""
    manifest = manifest_of(count)
    plan, results = plan_of(manifest), [_result(manifest, fold) for fold in range(_FOLDS)]
    return lambda: evaluate_run(plan, manifest, results)


def _result(manifest: Manifest, fold: int) -> JobResult:
    held_out = [film for film in manifest.films if int(film.patient) % _FOLDS == fold]
    validation = [film for film in manifest.films if int(film.patient) % (_FOLDS * _FOLDS) == (fold + 1) % _FOLDS]
    epoch = EpochRecord(
        epoch=1, train_loss=0.9, validation_loss=1.0, validation_auc=0.7, learning_rate=1e-3, images_per_second=80.0
    )
    counts = {"validation_films": len(validation), "test_films": len(held_out), "train_images": len(manifest.films)}
    return JobResult(
        job=parse_job(f"resnet50/patient/fold-{fold}"),
        history=FoldHistory(fold=fold, epochs=(epoch,), best_epoch=1, seconds=1.0, **counts),
        predictions=_predicted(held_out, fold),
        validation=_predicted(validation, fold),
        temperature=1.1,
        weights=WeightsReport(source="from scratch", loaded=(), missing=("conv1",), unexpected=()),
        parameters=1000,
        input_size=448,
        validation_auc=0.7,
        validation_loss=1.0,
        data_sha256="made up",
        model_sha256=None,
    )


def _predicted(of: Sequence[Film], fold: int) -> FoldPredictions:
    truth = np.array([CLASSES.index(film.label) for film in of])
    rows = np.random.default_rng(fold).dirichlet((4, 1, 1), len(of)) + 0.4 * np.eye(3)[truth]
    rows /= rows.sum(axis=1, keepdims=True)
    return FoldPredictions(
        films=tuple(film.id for film in of),
        patients=tuple(film.patient for film in of),
        labels=tuple(film.label for film in of),
        probabilities=tuple((row[0], row[1], row[2]) for row in rows.tolist()),
        folds=(fold,) * len(of),
    )


STEPS = {"plan": plan_step, "split": split_step, "evaluate": evaluate_step, "prepare": prepare_step}


class _Memory(threading.Thread):
    """Watches the memory of this process that is no file's: `peak_mb`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self.peak_mb = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            self.peak_mb = max(self.peak_mb, memory_mb("RssAnon"))


def main(step: str, count: int) -> None:
    """Carry out a step, and print what it took beyond what the libraries and the made-up results take."""
    imported = memory_mb("RssAnon")
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as folder:
        tempfile.tempdir = folder
        run = STEPS[step](count, Path(folder) / "store")
        gc.collect()
        began, worked = time.perf_counter(), time.process_time()
        with _Memory() as memory:
            run()
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
    print(
        json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "imported_mb": imported, "peak_mb": memory.peak_mb})
    )


def memory_mb(field: str) -> float:
    """Return a number of this process from /proc/self/status."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else FILMS)
