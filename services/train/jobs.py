"""One training job as it is stored: one network, one protocol, one fold."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import cast

from pydantic import Field

from shared import __version__
from shared.datasets.splits import SPLIT_VERSION
from shared.domain.arrays import Float64Array
from shared.domain.films import Variant
from shared.domain.records import Record
from shared.errors import ModelCorrupt, ObjectNotFound, ObjectUnreadable, PlanError
from shared.modelling.evaluation import FoldHistory, WeightsReport
from shared.modelling.network_table import Network
from shared.modelling.predictions import Predictions
from shared.modelling.recipes import Protocol
from shared.runs.plan import Plan
from shared.store import layout
from shared.store.documents import read_document
from shared.store.interface import ObjectStore

RESULT, MODEL, PROGRESS, CHECKPOINT = "result.json", "model.safetensors", "progress.json", "checkpoint.safetensors"


class Job(Record):
    """What the name of a unit of the stage train says: <network>/<protocol>/fold-<k>."""

    network: Network
    protocol: Protocol
    fold: int

    @property
    def name(self) -> str:
        return f"{self.network}/{self.protocol}/fold-{self.fold}"


class JobResult(Record):
    """What a finished job leaves: the training's history, and what its films were given, as the network gave it."""

    job: Job
    history: FoldHistory
    predictions: Predictions = Field(description="of the held-out films; not calibrated")
    validation: Predictions = Field(description="of the validation films, by the chosen epoch's weights; the same")
    temperature: float = Field(gt=0, description="that calibrates both; fitted on the validation films")
    weights: WeightsReport
    parameters: int
    input_size: int
    validation_auc: float | None = Field(description="macro, of the chosen epoch; None where a class was missing")
    validation_loss: float
    data_sha256: str = Field(description="of the manifests of the images; the same for all jobs of a run")
    model_sha256: str | None = Field(description="of the stored weights; None by the leaky protocol")


def parse_job(name: str) -> Job:
    """Raises PlanError."""
    try:
        network, protocol, fold = name.split("/")
        return Job(network=network, protocol=cast("Protocol", protocol), fold=int(fold[5:]))
    except ValueError as error:
        raise PlanError(f"'{name}' is not a training job; expected NETWORK/PROTOCOL/fold-K") from error


def predictions_of(job: Job, images: Sequence[Variant], probabilities: Float64Array) -> Predictions:
    """What a job's network gave to `images`, n x 3. Images of the leaky protocol go by their variant's id."""
    return Predictions(
        films=tuple(image.id if job.protocol == "paper" else image.film for image in images),
        patients=tuple(image.patient for image in images),
        labels=tuple(image.label for image in images),
        probabilities=tuple((row[0], row[1], row[2]) for row in probabilities.tolist()),
        folds=(job.fold,) * len(images),
    )


def job_identity(job: Job, plan: Plan, data_sha256: str) -> str:
    """A digest of all that decides a job's weights: a checkpoint of another identity is of no use to it."""
    decides = (__version__, SPLIT_VERSION, job.name, plan.seed, plan.folds, plan.weights[job.network], data_sha256)
    recipe = plan.training[job.network].model_dump_json()
    return hashlib.sha256(json.dumps([*decides, recipe]).encode()).hexdigest()


def read_results(store: ObjectStore, plan: Plan) -> list[JobResult]:
    """All results of a run, in the order of its plan.

    Raises:
        PlanError: its jobs did not all train on the same images, or not all divided the patients in the same way.
    """
    results = [read_document(store, unit.done_key, JobResult) for unit in plan.units("train")]
    if len({result.data_sha256 for result in results}) > 1:
        raise PlanError("the films of this run changed during training; start a new run, which reuses finished images")
    for network in plan.networks:
        folds = [r.predictions.films for r in results if (r.job.network, r.job.protocol) == (network, "patient")]
        if set(Counter(film for films in folds for film in films).values()) - {plan.repeats}:
            raise PlanError("the jobs of this run used different patient splits; start a new run")
    return results


def result_is_intact(store: ObjectStore, plan: Plan, unit: str) -> bool:
    """Whether a finished job's result can be read and its weights, as long as they are needed, are those it names."""
    try:
        result = read_document(store, plan.done_key("train", unit), JobResult)
        if result.model_sha256 is None or store.exists(layout.published_mark(plan.run, result.job.network)):
            return True
        read_weights(store, plan, result)
    except (ObjectNotFound, ModelCorrupt, ObjectUnreadable):
        return False
    return True


def weights_key(plan: Plan, result: JobResult) -> str:
    """Where the weights of a job are: below their digest, so that no other worker's take their place."""
    return layout.fold_file(plan.run, result.job.name, f"{result.model_sha256}/{MODEL}")


def read_weights(store: ObjectStore, plan: Plan, result: JobResult) -> bytes:
    """The weights that a job has left. Those of runs of before 0.2 are beside its result.

    Raises:
        ObjectNotFound: they are needed no more, or lost.
        ModelCorrupt: they are not those that the result names.
    """
    try:
        weights = store.get(weights_key(plan, result))
    except ObjectNotFound:
        weights = store.get(layout.fold_file(plan.run, result.job.name, MODEL))
    if hashlib.sha256(weights).hexdigest() != result.model_sha256:
        raise ModelCorrupt(
            f"{weights_key(plan, result)} differs from the trained weights; delete "
            f"{plan.done_key('train', result.job.name)}, "
            f"then `mammo resume {plan.run}`"
        )
    return weights


def delete_weights(store: ObjectStore, plan: Plan, job: str) -> None:
    """Delete the weights that workers have left of a job, when they are needed no more."""
    for key in list(store.list(layout.fold_file(plan.run, job, ""))):
        if key.endswith(f"/{MODEL}"):  # beside the result too, where releases before 0.2 left them
            store.delete(key)
