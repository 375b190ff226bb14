"""Small valid records for tests: a manifest, a plan over it, predictions of it, the result of a training job, and the
card of a model."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.train.jobs import JobResult, parse_job
from shared.datasets.sources import open_source
from shared.datasets.synthetic import label_of
from shared.datasets.synthetic_exams import exposures
from shared.domain.films import Film, Manifest, SetAside, Transform, Variant, describe
from shared.domain.lesions import Lesion
from shared.domain.records import CLASSES, Label
from shared.imaging.segmentation.segment import SEGMENTATION_VERSION
from shared.local.stack import Stack
from shared.modelling.bilateral import Comparison
from shared.modelling.bootstrap import Interval
from shared.modelling.calibration import OperatingPoint, OperatingPointName
from shared.modelling.card import ModelCard, PreprocessingCard
from shared.modelling.evaluation import EpochRecord, FoldHistory, WeightsReport
from shared.modelling.metrics import evaluate
from shared.modelling.network_table import as_network
from shared.modelling.predictions import FoldPredictions
from shared.modelling.profiles import PROFILES
from shared.queue.broker import Broker
from shared.queue.messages import UnitKind
from shared.runs.plan import Plan, RunOptions, make_plan
from shared.runs.shards import ShardStage, process_shard
from shared.store import models
from shared.store.directory import DirectoryStore
from shared.store.ingest import film_key, ingest, read_dataset, shard_key, stored_manifest
from shared.store.interface import ObjectStore


def small_manifest(films: int = 16) -> Manifest:
    """Films of two a patient, in the mix of labels of the synthetic data set. No image stands behind them."""
    return Manifest(dataset="small", synthetic=True, films=tuple(_film(number) for number in range(1, films + 1)))


def exam_manifest(women: int = 16) -> Manifest:
    """Four-view exams, digital, with the repeats and the gaps of generated ones. No image stands behind them."""
    films = []
    for number, exposed in enumerate(exposures(women), 1):
        label = label_of(2 * exposed.woman - (exposed.side == "right"))
        known = {"id": exposed.film, "patient": f"p{exposed.woman:03d}", "side": exposed.side, "label": label}
        taken = {"view": exposed.view, "exam": f"e{exposed.woman:03d}", "acquisition": "digital", "bits": 12}
        films.append(_film(number).model_copy(update={**known, **taken, "lesions": ()}))
    return Manifest(dataset="exams", synthetic=True, films=tuple(sorted(films, key=lambda film: film.id)))


def variants_of(film: Film, count: int) -> list[Variant]:
    """A film and its augmented copies, `count` images together. No image stands behind them."""
    return [
        Variant(
            **film.exposure,
            **film.model_dump(include={"patient", "side", "density", "label", "lesions", "sha256"}),
            film=film.id,
            variant=number,
            transform=Transform(rotation_deg=float(number)),
            key=f"{film.id}/{number}",
        )
        for number in range(count)
    ]


def small_plan(films: int = 16, **changes: Any) -> Plan:
    """A run of the test profile: one network, both protocols, promoted at the end; `changes` are fields of Plan."""
    plan = make_plan(
        describe(small_manifest()),
        PROFILES["test"],
        RunOptions(networks=("resnet50",), protocols=("patient", "paper"), weights={}, promote=("resnet50",), seed=7),
    )
    known = {"films": films, "films_sha256": describe(small_manifest(films)).sha256}
    return Plan.model_validate({**dict(plan), **known, **changes})


def ingested(folder: Path, films: Path, profile_name: str = "test") -> tuple[DirectoryStore, Plan]:
    """A store in `folder` with the films as data set `films`, and a plan that trains nothing over them."""
    store = DirectoryStore(folder)
    dataset = ingest(store, open_source(films), "films").dataset
    plan = make_plan(
        dataset, PROFILES[profile_name], RunOptions(networks=(), protocols=(), weights={}, promote=(), seed=1)
    )
    return store, plan


class Tries:
    """Counts the tries of films as the broker does; `begun` may be set to what earlier workers have begun."""

    def __init__(self, **begun: int) -> None:
        self.begun = begun

    def has_begun(self, run: str, kind: UnitKind, films: Sequence[str]) -> bool:
        return any(self.begun.get(film) for film in films)

    def begin_try(self, run: str, kind: UnitKind, film: str) -> int:
        self.begun[film] = self.begun.get(film, 0) + 1
        return self.begun[film]

    def take_back_try(self, run: str, kind: UnitKind, film: str) -> None:
        self.begun[film] -= 1

    def end_tries(self, run: str, kind: UnitKind, film: str) -> None:
        self.begun.pop(film)


def film_place(store: ObjectStore, film: str, dataset: str = "films") -> str:
    """The key of a film of an ingested data set."""
    known = {each.id: each for each in stored_manifest(store, dataset).films}
    return film_key(read_dataset(store, dataset), known[film])


def shard_place(store: ObjectStore, shard: str, dataset: str = "films") -> str:
    """The key of what is known of the films of a shard of an ingested data set."""
    return shard_key(read_dataset(store, dataset), shard)


def model_place(store: ObjectStore, network: str, version: str, name: str) -> str:
    """The key of a file of a published version."""
    return models.file_key(models.read_card(store, network, version), name)


class HeldStore:
    """A store at whose write number `at` the writer waits until it may `go` on."""

    def __init__(self, store: ObjectStore, at: int) -> None:
        self._store, self._left = store, at
        self.waits, self.go = threading.Event(), threading.Event()

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self._left -= 1
        if self._left == 0:
            self.waits.set()
            assert self.go.wait(30)
        return self._store.put(key, data, if_absent=if_absent, if_match=if_match)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def do(way: ShardStage[Any], store: ObjectStore, plan: Plan, shard: str) -> tuple[SetAside, ...]:
    """Does one shard of a stage, as its worker would."""
    return process_shard(way, store, plan, shard, Tries(), max_tries=3)


def queue_of(stack: Stack) -> Broker:
    """The broker of a running stack, for one who starts runs."""
    return Broker.open(stack.settings.broker)


def small_predictions() -> FoldPredictions:
    """Twelve held-out films of six patients: most are right, none is sure."""
    truth = (0, 0, 1, 1, 2, 2, 0, 0, 1, 0, 2, 2)
    answer = (0, 0, 1, 0, 2, 2, 0, 0, 1, 0, 2, 1)
    rows = {0: (0.6, 0.3, 0.1), 1: (0.2, 0.6, 0.2), 2: (0.1, 0.3, 0.6)}
    return FoldPredictions(
        films=tuple(f"mdb{number:03d}" for number in range(1, 13)),
        patients=tuple(f"p{number // 2 + 1:03d}" for number in range(12)),
        labels=tuple(CLASSES[label] for label in truth),
        probabilities=tuple(rows[label] for label in answer),
        folds=tuple(number // 2 % 2 for number in range(12)),
    )


def job_result(name: str, **changes: Any) -> JobResult:
    """What the job `name` leaves when it is done; `changes` are fields of JobResult."""
    job = parse_job(name)
    epoch = EpochRecord(
        epoch=1, train_loss=0.9, validation_loss=1.0, validation_auc=0.7, learning_rate=1e-3, images_per_second=80.0
    )
    result = JobResult(
        job=job,
        history=FoldHistory(
            fold=job.fold,
            epochs=(epoch,),
            best_epoch=1,
            train_images=24,
            validation_films=12,
            test_films=12,
            seconds=3.0,
        ),
        predictions=small_predictions(),
        validation=small_predictions(),
        temperature=1.0,
        weights=WeightsReport(source="from scratch", loaded=(), missing=("conv1",), unexpected=()),
        parameters=1000,
        input_size=64,
        validation_auc=0.7,
        validation_loss=1.0,
        data_sha256="data",
        model_sha256=None,
    )
    return JobResult.model_validate({**dict(result), **changes})


def preprocessing_card(size: int = 64) -> PreprocessingCard:
    """Of a model that was trained with the segmentation of today."""
    return PreprocessingCard(size=size, segmentation=SEGMENTATION_VERSION)


def model_card(network: str = "resnet50", version: str = "v1", **changes: Any) -> ModelCard:
    """The card of a model of the honest protocol; `changes` are fields of ModelCard."""
    plan = small_plan()
    card = ModelCard(
        network=as_network(network),
        version=version,
        created=plan.created,
        code_version=plan.code_version,
        run=plan.run,
        dataset=plan.dataset,
        synthetic=plan.synthetic,
        protocol="patient",
        fold=0,
        held_out_patients=("p001", "p002"),
        seed=plan.seed,
        classes=CLASSES,
        preprocessing=preprocessing_card(),
        recipe=PROFILES["test"].training[as_network(network)],
        augmentation=plan.augmentation.id,
        weights=WeightsReport(source="from scratch", loaded=(), missing=("conv1",), unexpected=()),
        parameters=1000,
        metrics=evaluate(small_predictions(), resamples=50),
        temperature=1.5,
        operating_points=(
            _operating_point("screening", 0.25, uncertain=(0.15, 0.4)),
            _operating_point("balanced", 0.5, uncertain=(0.4, 0.6)),
        ),
        explainable=True,
        data_terms="Generated films; no person's data.",
        files={},
    )
    return ModelCard.model_validate({**dict(card), **changes})


def comparison() -> Comparison:
    """Of a card: how a film is judged beside that of the other breast."""
    return Comparison(
        centre=(0.0, -0.8, -1.4),
        temperature=1.2,
        operating_points=(
            _operating_point("screening", 0.35, uncertain=(0.3, 0.45)),
            _operating_point("balanced", 0.55, uncertain=(0.5, 0.6)),
        ),
        metrics=evaluate(small_predictions(), resamples=50),
    )


def _operating_point(name: OperatingPointName, threshold: float, uncertain: tuple[float, float]) -> OperatingPoint:
    return OperatingPoint(
        name=name,
        threshold=threshold,
        uncertain=uncertain,
        sensitivity=Interval(value=0.9, low=0.8, high=0.95),
        specificity=Interval(value=0.6, low=0.5, high=0.7),
    )


def _film(number: int) -> Film:
    label = label_of(number)
    lesion = Lesion(kind="CIRC", label=label, x=500, y=400, radius=60)
    return Film(
        id=f"mdb{number:03d}",
        patient=f"p{(number + 1) // 2:03d}",
        side="right" if number % 2 else "left",
        density="G",
        label=label,
        lesions=() if label is Label.NORMAL else (lesion,),
        sha256=f"{number:064x}",
        width=1024,
        height=1024,
    )
