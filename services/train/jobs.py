"""Training jobs and their results in the store: one network, one protocol, one fold each."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import cast

from pydantic import Field

from shared import __version__
from shared.datasets.splits import SPLIT_VERSION
from shared.digests import sha256_hex
from shared.domain.arrays import Float64Array
from shared.domain.films import Variant
from shared.domain.records import Record
from shared.errors import ModelCorrupt, ObjectNotFound, ObjectUnreadable, PlanError
from shared.modelling.evaluation import FoldHistory, WeightsReport
from shared.modelling.network_table import Network
from shared.modelling.predictions import FoldPredictions
from shared.modelling.recipes import Protocol
from shared.runs.plan import Plan
from shared.store import layout
from shared.store.documents import read_document
from shared.store.interface import ObjectStore

MODEL, PROGRESS, CHECKPOINT = "model.safetensors", "progress.json", "checkpoint.safetensors"


class TrainingJob(Record):
    """The parts of a training unit's name, <network>/<protocol>/fold-<k>."""

    network: Network
    protocol: Protocol
    fold: int

    @property
    def name(self) -> str:
        """The unit's name."""
        return f"{self.network}/{self.protocol}/fold-{self.fold}"


class JobResult(Record):
    """The stored result of a job; predictions are those of the network, not calibrated."""

    job: TrainingJob
    history: FoldHistory
    predictions: FoldPredictions = Field(description="of the held-out films; not calibrated")
    validation: FoldPredictions = Field(description="of the validation films, by the chosen epoch's weights; the same")
    temperature: float = Field(gt=0, description="that calibrates both; fitted on the validation films")
    weights: WeightsReport
    parameters: int
    input_size: int
    validation_auc: float | None = Field(description="macro, of the chosen epoch; None where a class was missing")
    validation_loss: float
    data_sha256: str = Field(description="of the manifests of the images; the same for all jobs of a run")
    model_sha256: str | None = Field(description="of the stored weights; None by the leaky protocol")


def parse_job(name: str) -> TrainingJob:
    """Parse the name of a training unit.

    Raises:
        PlanError: it is not <network>/<protocol>/fold-<k>.
    """
    try:
        network, protocol, fold = name.split("/")
        return TrainingJob(network=network, protocol=cast("Protocol", protocol), fold=int(fold[5:]))
    except ValueError as error:
        raise PlanError(f"'{name}' is not a training job; expected NETWORK/PROTOCOL/fold-K") from error


def job_predictions(job: TrainingJob, images: Sequence[Variant], probabilities: Float64Array) -> FoldPredictions:
    """Combine images with a network's probabilities (n x 3); under the leaky protocol ids are those of variants."""
    return FoldPredictions(
        films=tuple(image.id if job.protocol == "paper" else image.film for image in images),
        patients=tuple(image.patient for image in images),
        labels=tuple(image.label for image in images),
        probabilities=tuple((row[0], row[1], row[2]) for row in probabilities.tolist()),
        folds=(job.fold,) * len(images),
    )


def job_identity(job: TrainingJob, plan: Plan, data_sha256: str) -> str:
    """Return a digest of everything that a job's weights depend on; checkpoints of other identities are not used."""
    fields = (__version__, SPLIT_VERSION, job.name, plan.seed, plan.folds, plan.weights[job.network], data_sha256)
    recipe = plan.training[job.network].model_dump_json()
    return sha256_hex(json.dumps([*fields, recipe]).encode())


def read_results(store: ObjectStore, plan: Plan) -> list[JobResult]:
    """Read the results of all jobs of a run, in the order of its plan.

    Raises:
        PlanError: the jobs were trained on different images, or used different splits of the patients.
    """
    results = [read_document(store, unit.done_key, JobResult) for unit in plan.units("train")]
    if len({result.data_sha256 for result in results}) > 1:
        raise PlanError("the films of this run changed during training; start a new run, which reuses finished images")
    for network in plan.networks:
        folds = [result.predictions.films for result in results_of(results, network, "patient")]
        if set(Counter(film for films in folds for film in films).values()) - {plan.repeats}:
            raise PlanError("the jobs of this run used different patient splits; start a new run")
    return results


def results_of(results: Sequence[JobResult], network: Network, protocol: Protocol) -> list[JobResult]:
    """Select the folds of one network under one protocol."""
    return [result for result in results if (result.job.network, result.job.protocol) == (network, protocol)]


def result_is_intact(store: ObjectStore, plan: Plan, unit: str) -> bool:
    """Return True if a job's result can be read and its weights, until published, are the ones that it names."""
    try:
        result = read_document(store, plan.done_key("train", unit), JobResult)
        if result.model_sha256 is None or store.exists(layout.published_mark(plan.run, result.job.network)):
            return True
        read_weights(store, plan, result)
    except (ObjectNotFound, ModelCorrupt, ObjectUnreadable):
        return False
    return True


def weights_key(plan: Plan, result: JobResult) -> str:
    """Return the key of a job's weights; it contains their digest, so that no other worker overwrites them."""
    return layout.fold_file(plan.run, result.job.name, f"{result.model_sha256}/{MODEL}")


def read_weights(store: ObjectStore, plan: Plan, result: JobResult) -> bytes:
    """Read the weights of a job; runs before 0.2 stored them next to the result.

    Raises:
        ObjectNotFound: they were deleted after publishing, or are lost.
        ModelCorrupt: they are not the ones that the result names.
    """
    try:
        weights = store.get(weights_key(plan, result))
    except ObjectNotFound:
        weights = store.get(layout.fold_file(plan.run, result.job.name, MODEL))
    if sha256_hex(weights) != result.model_sha256:
        raise ModelCorrupt(
            f"{weights_key(plan, result)} differs from the trained weights; delete "
            f"{plan.done_key('train', result.job.name)}, "
            f"then `mammo resume {plan.run}`"
        )
    return weights


def delete_weights(store: ObjectStore, plan: Plan, job: str) -> None:
    """Delete all weights that workers have stored for a job."""
    for key in list(store.list(layout.fold_file(plan.run, job, ""))):
        if key.endswith(f"/{MODEL}"):  # also those next to the result, from releases before 0.2
            store.delete(key)
