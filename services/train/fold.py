"""One fold of a run: its network trained, judged by the films that were kept out, and stored with its result."""

import hashlib
import logging
import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from services.train.data.batches import class_weights
from services.train.data.frozen_features import frozen_maps
from services.train.data.inputs import job_split, lesion_places, load_images
from services.train.data.lesion_targets import breast_places
from services.train.distributed.setup import trainer, training_device
from services.train.fitting.checkpoint import Checkpoint, CheckpointUnusable, from_bytes, to_bytes
from services.train.fitting.fit import predict
from services.train.fitting.head_regression import fit_head
from services.train.fitting.initial_weights import starting_network
from services.train.fitting.prior_correction import restore_shares
from services.train.fitting.serialise import network_to_bytes
from services.train.fitting.unfreezing import learning_part
from services.train.jobs import (
    CHECKPOINT,
    PROGRESS,
    Job,
    JobResult,
    job_identity,
    parse_job,
    predictions_of,
    weights_key,
)
from services.train.tracking import tracked
from shared import metrics
from shared.errors import ObjectNotFound
from shared.imaging.preprocess import Preprocessing
from shared.modelling.calibration import fit_temperature
from shared.modelling.evaluation import EpochRecord, FoldHistory
from shared.modelling.networks import map_edge, parameter_count
from shared.modelling.predictions import Predictions
from shared.runs.pipeline import set_aside
from shared.runs.plan import Plan
from shared.runs.status import JobProgress
from shared.runs.tasks import Assignment
from shared.settings import TrainingSettings, settings
from shared.store import layout
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.train")


def train_fold(work: Assignment) -> None:
    """Trains one network on one split, stores what its films were given, and its weights if it may be used.

    After every epoch, and when it is asked to stop, it leaves a checkpoint, from which the next worker goes on.
    """
    store, plan, job, began = work.store, work.plan, parse_job(work.unit), time.monotonic()
    store.discard_partial(layout.fold_file(plan.run, work.unit, ""))
    recipe, device = plan.training[job.network], training_device()
    images = load_images(store, plan, Preprocessing(size=recipe.input_size))
    for shard, films in images.set_aside.items():
        set_aside(store, plan, shard, films)
    split = job_split(images.variants, plan, job)
    seed = plan.seed + job.fold
    network, weights = starting_network(store, plan, job.network, seed)
    identity = job_identity(job, plan, images.sha256)

    start = _read_checkpoint(work, identity)

    kept_at = began

    def keep(checkpoint: Checkpoint) -> None:
        nonlocal kept_at
        if time.monotonic() - kept_at < settings(TrainingSettings).checkpoint_every_s and not work.stopping():
            return
        kept_at = time.monotonic()
        store.put(layout.fold_file(plan.run, job.name, CHECKPOINT), to_bytes(checkpoint, identity))
        store.got_somewhere()

    train, pretrained = images.examples(split.train), bool(weights.loaded)
    learner = learning_part(network, recipe, pretrained=pretrained)
    seen = images.inputs if learner is network else frozen_maps(network, recipe.frozen, images, device, work.stopping)
    places = None
    if recipe.lesion_weight:
        places = lesion_places(store, images, map_edge(network, recipe.input_size))

    with tracked(
        settings(TrainingSettings), plan.run, job.name, recipe, done=len(start.progress.epochs) if start else 0
    ) as tell:

        def report_progress(epoch: EpochRecord) -> None:
            _show(store, plan, job, epoch, recipe.epochs, len(split.train))
            tell(epoch)

        given = (
            learner,
            recipe,
            replace(train, pool=seen, places=places),
            replace(images.examples(split.validation), pool=seen),
        )
        if recipe.regression and learner is not network:
            inside = breast_places(images.inputs, seen.shape[-1])[split.train]
            fitted = fit_head(*given, inside=inside, seed=seed, device=device, on_epoch=report_progress)
        else:
            fitted = trainer(job.network, recipe, learner, device)(
                *given,
                pretrained=pretrained,
                seed=seed,
                device=device,
                on_epoch=report_progress,
                start=start,
                on_checkpoint=keep,
                stopping=work.stopping,
            )

    restore_shares(network, class_weights(train.labels))

    def judge(indices: npt.NDArray[np.intp]) -> Predictions:
        probabilities = predict(network, images.inputs[indices], recipe.batch_size, device)
        return predictions_of(job, [images.variants[index] for index in indices], probabilities)

    validation = judge(split.validation)
    best = fitted.epochs[fitted.best_epoch - 1]
    history = FoldHistory(
        fold=job.fold,
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        train_images=len(split.train),
        validation_films=len(split.validation),
        test_films=len(split.test),
        seconds=time.monotonic() - began,
    )
    trained = network_to_bytes(network) if job.protocol == "patient" else None
    result = JobResult(
        job=job,
        history=history,
        predictions=judge(split.test),
        validation=validation,
        temperature=fit_temperature(validation.rows, validation.truth),
        weights=weights,
        parameters=parameter_count(network),
        input_size=recipe.input_size,
        validation_auc=fitted.best_auc,
        validation_loss=best.validation_loss,
        data_sha256=images.sha256,
        model_sha256=hashlib.sha256(trained).hexdigest() if trained else None,
    )
    if trained:
        store.put(weights_key(plan, result), trained)
    store.delete(layout.fold_file(plan.run, job.name, CHECKPOINT))
    store.finish(result.model_dump_json().encode())


def _read_checkpoint(work: Assignment, identity: str) -> Checkpoint | None:
    """What an earlier worker left of the job; None when it has to begin from the beginning."""
    try:
        found = from_bytes(work.store.get(layout.fold_file(work.plan.run, work.unit, CHECKPOINT)), identity)
    except ObjectNotFound:
        return None
    except CheckpointUnusable as error:
        _log.warning("job begins again", extra={"run": work.plan.run, "unit": work.unit, "reason": str(error)})
        return None
    _log.info("job goes on", extra={"run": work.plan.run, "unit": work.unit, "epochs": len(found.progress.epochs)})
    return found


def _show(store: ObjectStore, plan: Plan, job: Job, epoch: EpochRecord, epochs: int, images: int) -> None:
    progress = JobProgress(
        epoch=epoch.epoch,
        epochs=epochs,
        images_per_second=epoch.images_per_second,
        seconds_per_epoch=images / epoch.images_per_second,
        train_loss=epoch.train_loss,
        validation_loss=epoch.validation_loss,
    )
    store.put(layout.fold_file(plan.run, job.name, PROGRESS), progress.model_dump_json().encode())
    metrics.TRAIN_EPOCH.labels(job.network).set(epoch.epoch)
    metrics.TRAIN_LOSS.labels(job.network).set(epoch.train_loss)
    metrics.TRAIN_RATE.labels(job.network).set(epoch.images_per_second)
    metrics.TRAIN_LEARNING_RATE.labels(job.network).set(epoch.learning_rate)
    metrics.TRAIN_PROGRESS.labels("train").set_to_current_time()
    if torch.cuda.is_available():
        metrics.TRAIN_GPU_MEMORY.labels(job.network).set(torch.cuda.max_memory_allocated())
