"""The inference worker: predicts the images of batches, part by part, with the model that each batch was made for.

The model is loaded, and checked by its golden inputs, in the child process that works with it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from services.inference.batches import BatchLimits, failed_line, predict_part, to_document
from services.inference.serving.model_loader import WantedEngine, load_model
from services.inference.serving.predictor import ServedModel
from shared import metrics
from shared.api.batches import BatchLine
from shared.batches.flow import PREDICT, has_ended, mark_part, store_answers
from shared.batches.plan import BatchPlan, read_batch, read_images
from shared.errors import ObjectNotFound
from shared.queue.attempts import text_of
from shared.queue.broker import Broker
from shared.queue.celery_app import make_app, worker_store
from shared.queue.messages import Message
from shared.queue.unit_task import UnitTask
from shared.queue.worker import register
from shared.settings import BatchWorkerSettings, settings
from shared.store import layout
from shared.store.interface import ObjectStore

app = make_app(settings(BatchWorkerSettings))


class BatchPart(NamedTuple):
    """A part of a batch, by its name."""

    plan: BatchPlan
    name: str


class PredictTask(UnitTask[BatchPart]):
    """Predict the images of batches, part by part."""

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
        model = model_of(unit.plan.network, unit.plan.version)
        _store_lines(store, unit, predict_part(store, unit.plan, unit.name, model, broker, _limits(), stopping))

    def advance(self, store: ObjectStore, broker: Broker, unit: BatchPart) -> None:
        mark_part(store, broker, unit.plan, unit.name)

    def on_failure(self, store: ObjectStore, broker: Broker, message: Message, error: Exception) -> str:
        """Store for every image of the part what was wrong with the part, such as a damaged model."""
        part = self.load(store, message)
        try:
            images = read_images(store, part.plan, part.name)
        except (ObjectNotFound, ValueError):  # lost or damaged: they go by their index alone
            images = [(index, "") for index in part.plan.span(part.name)]
        _store_lines(store, part, [failed_line(index, key, error) for index, key in images])
        self.advance(store, broker, part)
        return text_of(error)


@lru_cache(maxsize=2)
def model_of(network: str, version: str) -> ServedModel:
    """Load a version once, to run as the service runs it.

    Two are kept: of two batches at a time one may have been made before a promotion and the other after it.
    """
    config = settings(BatchWorkerSettings)
    wanted = WantedEngine(config.cores, config.serve_engine, config.cache_folder)
    return load_model(worker_store(), network, version, wanted)


def _store_lines(store: ObjectStore, part: BatchPart, lines: list[BatchLine]) -> None:
    if store_answers(store, part.plan, part.name, to_document(lines)):
        for line in lines:
            metrics.BATCH_IMAGES.labels(line.problem.code if line.problem else "predicted").inc()


def _limits() -> BatchLimits:
    config = settings(BatchWorkerSettings)
    return BatchLimits(config.max_image_mb << 20, config.task_retries + 1, alone=config.worker_processes == 1)


register(app, PredictTask(PREDICT))
