"""The inference worker: predicts the images of batches, part by part, with the model version of each batch.

The model is loaded and verified by its golden inputs in the child process that uses it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from services.inference.batches import BatchLimits, failed_line, predict_part, to_document
from services.inference.serving.model_loader import WantedEngine, load_model
from services.inference.serving.predictor import ServedModel
from shared import metrics
from shared.api.batches import BatchLine
from shared.batches.flow import PREDICT, has_ended, mark_part, store_results
from shared.batches.plan import BatchPlan, read_batch, read_images
from shared.batches.unattended import unattended_batches
from shared.errors import ObjectNotFound
from shared.queue.attempts import text_of
from shared.queue.broker import Broker
from shared.queue.messages import Message
from shared.queue.store_gauges import StoreGauge
from shared.queue.unit_task import UnitTask
from shared.settings import BatchProcessSettings
from shared.store import layout
from shared.store.interface import ObjectStore


class BatchPart(NamedTuple):
    """A part of a batch, by its name."""

    plan: BatchPlan
    name: str


class PredictTask(UnitTask[BatchPart]):
    """Predict the images of batches, part by part."""

    def __init__(self, settings: BatchProcessSettings) -> None:
        super().__init__(PREDICT)
        at_once = settings.compute.cpu_threads or max(1, settings.compute.cores // settings.worker.processes)
        self._wanted = WantedEngine(at_once, settings.serving.engine, settings.serving.cache_folder)
        self._limits = BatchLimits(settings.serving.max_image_mb << 20, settings.worker.retries + 1, at_once)

    def load(self, store: ObjectStore, message: Message) -> BatchPart:
        return BatchPart(read_batch(store, message.run), message.unit)

    def done_key(self, unit: BatchPart) -> str:
        return layout.batch_part(unit.plan.batch, unit.name)

    def is_cancelled(self, store: ObjectStore, unit: BatchPart) -> bool:
        return has_ended(store, unit.plan)

    def on_cancelled(self, broker: Broker, unit: BatchPart) -> str:
        broker.drop_tally(unit.plan.batch, PREDICT)
        return "skipped"

    def execute(self, store: ObjectStore, broker: Broker, unit: BatchPart, stopping: Callable[[], bool]) -> None:
        plan = unit.plan
        model = model_of(store, plan.network, plan.version, self._wanted)
        _store_lines(store, unit, predict_part(store, plan, unit.name, model, broker, self._limits, stopping))

    def advance(self, store: ObjectStore, broker: Broker, unit: BatchPart) -> None:
        mark_part(store, broker, unit.plan, unit.name)

    def on_failure(self, store: ObjectStore, broker: Broker, message: Message, error: Exception) -> str:
        """Store the error of the part, such as a damaged model, as the problem of each of its images."""
        part = self.load(store, message)
        try:
            images = read_images(store, part.plan, part.name)
        except (ObjectNotFound, ValueError):  # lost or damaged: only their indices are known
            images = [(index, "") for index in part.plan.span(part.name)]
        _store_lines(store, part, [failed_line(index, key, error) for index, key in images])
        self.advance(store, broker, part)
        return text_of(error)


@lru_cache(maxsize=2)
def model_of(store: ObjectStore, network: str, version: str, wanted: WantedEngine) -> ServedModel:
    """Load a version, as the service does.

    Two versions are cached, because one of two concurrent batches may be older than a promotion.
    """
    return load_model(store, network, version, wanted)


def _store_lines(store: ObjectStore, part: BatchPart, lines: list[BatchLine]) -> None:
    if store_results(store, part.plan, part.name, to_document(lines)):
        for line in lines:
            metrics.BATCH_IMAGES.labels(line.problem.code if line.problem else "predicted").inc()


_ended: set[str] = set()
GAUGES = (StoreGauge(metrics.BATCHES_UNATTENDED, lambda store, broker: len(unattended_batches(store, broker, _ended))),)


def unit_tasks(settings: BatchProcessSettings) -> tuple[PredictTask]:
    """Return the kinds of units that this worker does."""
    return (PredictTask(settings),)
