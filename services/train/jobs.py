"""One training job as it is stored: one network, one protocol, one fold."""

from typing import cast

from pydantic import Field

from shared.datasets.manifest import Record
from shared.errors import PlanError
from shared.modelling.evaluation import FoldHistory, WeightsReport
from shared.modelling.metrics import Predictions
from shared.modelling.recipes import Network, Protocol
from shared.queue.plan import Plan
from shared.store import keys
from shared.store.objects import ObjectStore

RESULT, MODEL, PROGRESS = "result.json", "model.safetensors", "progress.json"


class Job(Record):
    """What the name of a unit of the stage train says: <network>/<protocol>/fold-<k>."""

    network: Network
    protocol: Protocol
    fold: int

    @property
    def name(self) -> str:
        return f"{self.network}/{self.protocol}/fold-{self.fold}"


class JobResult(Record):
    """What a finished job leaves: the training's history, and what the held-out films were given."""

    job: Job
    history: FoldHistory
    predictions: Predictions
    weights: WeightsReport
    parameters: int
    input_size: int
    validation_auc: float | None = Field(description="macro, of the chosen epoch; None where a class was missing")
    validation_loss: float


def parse_job(name: str) -> Job:
    """Raises PlanError."""
    try:
        network, protocol, fold = name.split("/")
        return Job(network=cast("Network", network), protocol=cast("Protocol", protocol), fold=int(fold[5:]))
    except ValueError as error:
        raise PlanError(f"'{name}' is no training job; expected NETWORK/PROTOCOL/fold-K") from error


def read_results(store: ObjectStore, plan: Plan) -> list[JobResult]:
    """All results of a run, in the order of its plan."""
    return [
        JobResult.model_validate_json(store.get(keys.fold_file(plan.run, unit.name, RESULT)))
        for unit in plan.units("train")
    ]
