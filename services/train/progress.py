"""The progress of a training job: checkpoints in the store, the progress file, and metrics for Prometheus."""

import logging
import time
from collections.abc import Callable

import torch

from services.train.fitting.checkpoint import Checkpoint, CheckpointUnusable, from_bytes, to_bytes
from services.train.jobs import CHECKPOINT, PROGRESS, TrainingJob
from shared import metrics
from shared.errors import ObjectNotFound
from shared.modelling.evaluation import EpochRecord
from shared.runs.plan import Plan
from shared.runs.status import JobProgress
from shared.runs.tasks import ClaimedJob
from shared.store import layout
from shared.store.documents import document
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.train")


def read_checkpoint(claimed: ClaimedJob, identity: str) -> Checkpoint | None:
    """Read the checkpoint of an earlier worker; None if the job has to start from the beginning."""
    run, unit = claimed.plan.run, claimed.unit
    try:
        checkpoint = from_bytes(claimed.store.get(layout.fold_file(run, unit, CHECKPOINT)), identity)
    except ObjectNotFound:
        return None
    except CheckpointUnusable as error:
        _log.warning("job starts again", extra={"run": run, "unit": unit, "reason": str(error)})
        return None
    _log.info("job resumes", extra={"run": run, "unit": unit, "epochs": len(checkpoint.progress.epochs)})
    return checkpoint


def checkpoint_writer(claimed: ClaimedJob, identity: str, every_s: float) -> Callable[[Checkpoint], None]:
    """Return a function that stores a checkpoint every `every_s` seconds, and when the job has to stop."""
    stored_at = time.monotonic()

    def write(checkpoint: Checkpoint) -> None:
        nonlocal stored_at
        if time.monotonic() - stored_at < every_s and not claimed.stopping():
            return
        stored_at = time.monotonic()
        key = layout.fold_file(claimed.plan.run, claimed.unit, CHECKPOINT)
        claimed.store.put(key, to_bytes(checkpoint, identity))
        claimed.store.note_progress()

    return write


def report_epoch(store: ObjectStore, plan: Plan, job: TrainingJob, epoch: EpochRecord, images: int) -> None:
    """Write the progress file of a job that trains on `images`, and update its metrics."""
    progress = JobProgress(
        epoch=epoch.epoch,
        epochs=plan.training[job.network].epochs,
        images_per_second=epoch.images_per_second,
        seconds_per_epoch=images / epoch.images_per_second,
        train_loss=epoch.train_loss,
        validation_loss=epoch.validation_loss,
    )
    store.put(layout.fold_file(plan.run, job.name, PROGRESS), document(progress))
    metrics.TRAIN_EPOCH.labels(job.network).set(epoch.epoch)
    metrics.TRAIN_LOSS.labels(job.network).set(epoch.train_loss)
    metrics.TRAIN_RATE.labels(job.network).set(epoch.images_per_second)
    metrics.TRAIN_LEARNING_RATE.labels(job.network).set(epoch.learning_rate)
    metrics.TRAIN_PROGRESS.labels("train").set_to_current_time()
    if torch.cuda.is_available():
        metrics.TRAIN_GPU_MEMORY.labels(job.network).set(torch.cuda.max_memory_allocated())
