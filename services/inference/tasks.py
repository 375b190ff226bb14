"""The inference worker: predicts the images of batches, part by part, with the model that each batch was made for.

The model is loaded, and checked by its golden inputs, in the child process that works with it.
"""

from functools import lru_cache

from services.inference.batches import Limits, failed_line, predict_part, to_document
from services.inference.serving.model_loader import load_model
from services.inference.serving.predictor import ServedModel
from shared import metrics
from shared.api.batches import BatchLine
from shared.batches.flow import PREDICT, finish_part, has_ended, mark_part
from shared.batches.plan import BatchPlan, read_batch, read_images
from shared.errors import ObjectNotFound
from shared.queue.attempts import text_of
from shared.queue.broker import Broker
from shared.queue.celery_app import make_app, worker_store
from shared.queue.messages import Message
from shared.queue.worker import Work, holding, unit_task
from shared.settings import BatchWorkerSettings, settings
from shared.store import layout
from shared.store.interface import ObjectStore

app = make_app(settings(BatchWorkerSettings))


def carry_out(store: ObjectStore, broker: Broker, message: Message) -> str:
    """Does a part, unless it is done; returns the outcome."""
    plan, part = read_batch(store, message.run), message.unit
    if has_ended(store, plan):
        broker.drop_tally(plan.batch, PREDICT)
        return "skipped"
    key = layout.batch_part(plan.batch, part)
    with holding(broker, key, lambda: has_ended(store, plan)) as stopping:
        if store.exists(key):
            mark_part(store, broker, plan, part, store.get(key))
            return "skipped"
        model = model_of(plan.network, plan.version)
        lines = predict_part(store, plan, part, model, broker, _limits(), stopping)
        _finish(store, broker, plan, part, lines)
    return "done"


def give_up(store: ObjectStore, broker: Broker, message: Message, error: Exception) -> str:
    """Says of every image of a part what was wrong with the part, such as a model that is damaged."""
    plan, part = read_batch(store, message.run), message.unit
    try:
        images = read_images(store, plan, part)
    except (ObjectNotFound, ValueError):  # lost or damaged: they go by their index alone
        images = [(index, "") for index in plan.span(part)]
    lines = [failed_line(index, key, error) for index, key in images]
    _finish(store, broker, plan, part, lines)
    return text_of(error)


@lru_cache(maxsize=2)
def model_of(network: str, version: str) -> ServedModel:
    """A version, loaded once, run as the service runs it. Two batches at a time may have been made before and after a
    promotion."""
    config = settings(BatchWorkerSettings)
    return load_model(worker_store(), network, version, config.cores, config.serve_engine)


def _finish(store: ObjectStore, broker: Broker, plan: BatchPlan, part: str, lines: list[BatchLine]) -> None:
    if finish_part(store, broker, plan, part, to_document(lines)):
        for line in lines:
            metrics.BATCH_IMAGES.labels(line.problem.code if line.problem else "predicted").inc()


def _limits() -> Limits:
    config = settings(BatchWorkerSettings)
    return Limits(config.max_image_mb << 20, config.task_retries + 1, alone=config.worker_processes == 1)


unit_task(app, Work(PREDICT, carry_out, give_up))
