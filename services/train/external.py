"""Units of an evaluation on another data set: films judged by a published version, and the report on them."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from services.train.evaluation.external import evaluate_external, external_predictions
from services.train.evaluation.external_report import render_external
from shared.digests import sha256_hex
from shared.domain.arrays import Float64Array
from shared.domain.films import Dataset, Film, FilmShard
from shared.errors import ImageError, JobInterrupted, StoreError
from shared.evaluations import flow
from shared.evaluations.plan import (
    REPORT,
    EvaluationPlan,
    FilmProbabilities,
    JudgedShard,
    check_judgeable,
    dataset_of,
    read_evaluation_plan,
)
from shared.imaging.formats.decode import decode
from shared.imaging.preprocess import Preprocessing, prepare_image
from shared.modelling.calibration import calibrate, softmax
from shared.modelling.card import GOLDEN, ONNX, ModelCard
from shared.modelling.engines.onnx import OnnxEngine
from shared.modelling.external import RefusedFilm
from shared.modelling.golden import check_golden
from shared.modelling.promotion import GOLDEN_TOLERANCE
from shared.queue.attempts import AttemptCounter, GivenUp, WorkerLost, attempt, code_of, text_of
from shared.queue.broker import Broker
from shared.queue.messages import Message
from shared.queue.unit_task import UnitTask
from shared.store import layout, models
from shared.store.documents import parse_document, read_document
from shared.store.ingest import film_key, films_of, shard_key
from shared.store.interface import ObjectStore


class PlannedEvaluationUnit(NamedTuple):
    """A unit, by its name, with the plan of its evaluation."""

    plan: EvaluationPlan
    name: str


class PublishedNetwork(NamedTuple):
    """A version as inference on a CPU runs it in single precision."""

    card: ModelCard
    engine: OnnxEngine


class JudgeTask(UnitTask[PlannedEvaluationUnit]):
    """Units of evaluations: shards of films, and the report.

    Args:
        retries: number of retries of a film that fails.
        threads: of the network.
    """

    def __init__(self, retries: int, threads: int) -> None:
        super().__init__(flow.JUDGE)
        self._retries, self._threads = retries, threads

    def load(self, store: ObjectStore, message: Message) -> PlannedEvaluationUnit:
        return PlannedEvaluationUnit(read_evaluation_plan(store, message.run), message.unit)

    def done_key(self, unit: PlannedEvaluationUnit) -> str:
        return unit.plan.done_key(unit.name)

    def is_cancelled(self, _store: ObjectStore, _unit: PlannedEvaluationUnit) -> bool:
        return False

    def is_done(self, store: ObjectStore, unit: PlannedEvaluationUnit) -> bool:
        if unit.name == REPORT:
            return flow.report_is_intact(store, unit.plan)
        return flow.is_judged(store, unit.plan, unit.name)

    def execute(
        self, store: ObjectStore, broker: Broker, unit: PlannedEvaluationUnit, stopping: Callable[[], bool]
    ) -> None:
        if unit.name == REPORT:
            write_report(store, unit.plan)
            return
        network = published_network(store, unit.plan.network, unit.plan.version, self._threads)
        judged = judge_shard(store, unit.plan, unit.name, network, broker, self._retries + 1, stopping)
        store.put(self.done_key(unit), judged.model_dump_json().encode())

    def advance(self, store: ObjectStore, broker: Broker, unit: PlannedEvaluationUnit) -> None:
        flow.advance(store, broker, unit.plan, unit.name)

    def on_failure(self, store: ObjectStore, _broker: Broker, message: Message, error: Exception) -> str:
        return flow.give_up(store, message.run, message.unit, error).message


@lru_cache(maxsize=1)
def published_network(store: ObjectStore, network: str, version: str, threads: int) -> PublishedNetwork:
    """Load a version, and check that it gives its golden answers here.

    Raises:
        ModelCorrupt: it does not, or this release would prepare films in another way.
    """
    card = models.read_card(store, network, version)
    check_judgeable(card)
    engine = OnnxEngine(models.read_file(store, card, ONNX), threads)
    check_golden(models.read_file(store, card, GOLDEN), lambda films: engine.run(films).logits, GOLDEN_TOLERANCE)
    return PublishedNetwork(card, engine)


def judge_shard(
    store: ObjectStore,
    plan: EvaluationPlan,
    shard: str,
    network: PublishedNetwork,
    tries: AttemptCounter,
    max_tries: int,
    stopping: Callable[[], bool] = lambda: False,
) -> JudgedShard:
    """Judge the films of a shard that are not left out, in order; those that inference would refuse are named.

    Only what is wrong with an image itself refuses it: any other fault may pass, and the figures are final.

    Raises:
        JobInterrupted: `stopping` returned True between two films.
        StoreError: a film is missing, or is not the one that was ingested.
        WorkerLost: the worker died at every attempt at a film.
    """
    dataset, left_out = dataset_of(store, plan), set(plan.left_out.films)
    key = shard_key(dataset, shard)
    judged, refused = [], []
    for film in parse_document(key, store.get(key), FilmShard).films:
        if film.id in left_out:
            continue
        if stopping():
            raise JobInterrupted(f"shard {shard} of evaluation {plan.evaluation} was stopped; it is delivered again")

        def judge(film: Film = film) -> Float64Array:
            return _judge_film(store, dataset, film, network)

        result = attempt(tries, plan.evaluation, flow.JUDGE, film.id, max_tries, judge, (ImageError, StoreError))
        if isinstance(result, GivenUp):
            refused.append(_refused(film, result.reason))
        else:
            normal, benign, malignant = result.tolist()
            judged.append(FilmProbabilities(film=film.id, probabilities=(normal, benign, malignant)))
    return JudgedShard(judged=tuple(judged), refused=tuple(refused))


def _refused(film: Film, reason: Exception) -> RefusedFilm:
    """Return the record of a film that inference would refuse; raise any other `reason` why it was given up."""
    if isinstance(reason, ImageError):
        return RefusedFilm(film=film.id, code=code_of(reason), message=text_of(reason))
    if isinstance(reason, WorkerLost):
        raise WorkerLost(f"film {film.id}: {reason}") from reason
    raise reason


def _judge_film(store: ObjectStore, dataset: Dataset, film: Film, network: PublishedNetwork) -> Float64Array:
    """Return the calibrated probabilities (3,) of a film; its view is that of its record, as in training.

    Raises:
        ImageError: inference would refuse the film.
        StoreError: it is missing, or not the one that was ingested.
    """
    key, card = film_key(dataset, film), network.card
    data = store.get(key)
    if sha256_hex(data) != film.sha256:
        raise StoreError(f"{key} is not film {film.id} as it was ingested; restore it")
    preprocessing = Preprocessing(size=card.preprocessing.size)
    image = decode(data, preprocessing.least_edge)
    prepared = prepare_image(replace(image, view=film.view or image.view), preprocessing)
    logits = network.engine.run(prepared.input[None], alone=True).logits
    return np.asarray(calibrate(softmax(logits), card.temperature)[0])


def write_report(store: ObjectStore, plan: EvaluationPlan) -> None:
    """Write the report on all films, and last the digests of its files, which mark it as done."""
    shards = [read_document(store, plan.done_key(shard), JudgedShard) for shard in plan.shards]
    dataset = dataset_of(store, plan)
    card = models.read_card(store, plan.network, plan.version)
    films = films_of(store, dataset)
    predictions = external_predictions([film for shard in shards for film in shard.judged], films)
    refused = [film for shard in shards for film in shard.refused]
    evaluation = evaluate_external(plan, card, dataset, films, predictions, refused)
    files = render_external(evaluation) | {"predictions.json": predictions.model_dump_json().encode()}
    for name, data in files.items():
        store.put(layout.evaluation_report(plan.evaluation, name), data)
    digests = {name: sha256_hex(data) for name, data in files.items()}
    store.put(plan.done_key(REPORT), json.dumps(digests).encode())
