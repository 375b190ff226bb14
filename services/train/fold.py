"""One fold of a run: its network trained, judged by the films that were kept out, and stored with its result."""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from services.train.data.batches import class_weights
from services.train.data.examples import Examples
from services.train.data.frozen_features import frozen_maps
from services.train.data.inputs import Images, job_split, lesion_places, load_images
from services.train.data.lesion_targets import breast_places
from services.train.distributed.setup import trainer, training_device
from services.train.fitting.checkpoint import Checkpoint, CheckpointUnusable, from_bytes, to_bytes
from services.train.fitting.fit import FitContext, Fitted, predict
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
from shared.datasets.splits import Split
from shared.errors import ObjectNotFound
from shared.imaging.preprocess import Preprocessing
from shared.modelling.calibration import fit_temperature
from shared.modelling.evaluation import EpochRecord, FoldHistory, WeightsReport
from shared.modelling.networks import MammogramNetwork, map_edge, parameter_count
from shared.modelling.predictions import Predictions
from shared.modelling.recipes import TrainingRecipe
from shared.runs.pipeline import set_aside
from shared.runs.plan import Plan
from shared.runs.sources import check_trained_images
from shared.runs.status import JobProgress
from shared.runs.tasks import ClaimedJob
from shared.settings import TrainingProcessSettings
from shared.store import layout
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.train")


@dataclass(frozen=True)
class Fold:
    """All that a fold is trained from.

    `learner` is the part of `network` that learns; `train` and `validation` hold what it learns from: the films, or the
    maps that frozen stages made of them.
    """

    job: Job
    recipe: TrainingRecipe
    seed: int
    device: torch.device
    images: Images
    split: Split
    network: MammogramNetwork
    weights: WeightsReport
    learner: MammogramNetwork
    train: Examples
    validation: Examples


def train_fold(work: ClaimedJob, settings: TrainingProcessSettings) -> None:
    """Train one network on one split and store its result, and its weights if it may be used.

    After every epoch, and when it has to stop, it leaves a checkpoint, from which the next worker goes on.
    """
    began = time.monotonic()
    work.store.discard_partial(layout.fold_file(work.plan.run, work.unit, ""))
    fold = prepare(work, training_device(settings.compute, settings.training))
    fitted = fit_fold(work, fold, settings)
    store_result(work, fold, judge(fold, fitted, began))


def prepare(work: ClaimedJob, device: torch.device) -> Fold:
    """Read the films of a run, split them, and build the network with its first weights."""
    store, plan, job = work.store, work.plan, parse_job(work.unit)
    recipe, seed = plan.training[job.network], plan.seed + job.fold
    images = load_images(store, plan, Preprocessing(size=recipe.input_size))
    check_trained_images(store, plan, images.sha256)
    for shard, films in images.set_aside.items():
        set_aside(store, plan, shard, films)
    split = job_split(images.variants, plan, job)
    network, weights = starting_network(store, plan, job.network, seed)
    learner = learning_part(network, recipe, pretrained=bool(weights.loaded))
    frozen = learner is not network
    pool = frozen_maps(network, recipe.frozen, images, device, work.stopping) if frozen else images.inputs
    places = lesion_places(store, images, map_edge(network, recipe.input_size)) if recipe.lesion_weight else None
    return Fold(
        job=job,
        recipe=recipe,
        seed=seed,
        device=device,
        images=images,
        split=split,
        network=network,
        weights=weights,
        learner=learner,
        train=replace(images.examples(split.train), pool=pool, places=places),
        validation=replace(images.examples(split.validation), pool=pool),
    )


def fit_fold(work: ClaimedJob, fold: Fold, settings: TrainingProcessSettings) -> Fitted:
    """Fit the network of a fold, from its checkpoint where there is one, and report every epoch."""
    store, plan, job, recipe = work.store, work.plan, fold.job, fold.recipe
    identity = job_identity(job, plan, fold.images.sha256)
    start = _read_checkpoint(work, identity)
    done = len(start.progress.epochs) if start else 0
    with tracked(settings.training, plan.run, job.name, recipe, done=done) as track:

        def report_progress(epoch: EpochRecord) -> None:
            _show(store, plan, job, epoch, recipe.epochs, len(fold.split.train))
            track(epoch)

        context = FitContext(
            pretrained=bool(fold.weights.loaded),
            seed=fold.seed,
            device=fold.device,
            on_epoch=report_progress,
            start=start,
            on_checkpoint=_checkpoint_writer(work, identity, settings.training.checkpoint_every_s),
            stopping=work.stopping,
        )
        if recipe.regression and fold.learner is not fold.network:
            inside = breast_places(fold.images.inputs, fold.train.pool.shape[-1])[fold.split.train]
            fitted = fit_head(fold.learner, recipe, fold.train, fold.validation, inside, context)
        else:
            train = trainer(settings.compute, settings.training, job.network, recipe, fold.learner, fold.device)
            fitted = train(fold.learner, recipe, fold.train, fold.validation, context)
    restore_shares(fold.network, class_weights(fold.train.labels))
    return fitted


def judge(fold: Fold, fitted: Fitted, began: float) -> JobResult:
    """Predict the validation and held-out films; the result names no weights yet."""
    job, images, split, recipe = fold.job, fold.images, fold.split, fold.recipe

    def predicted(indices: npt.NDArray[np.intp]) -> Predictions:
        probabilities = predict(fold.network, images.inputs[indices], recipe.batch_size, fold.device)
        return predictions_of(job, [images.variants[index] for index in indices], probabilities)

    validation = predicted(split.validation)
    history = FoldHistory(
        fold=job.fold,
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        train_images=len(split.train),
        validation_films=len(split.validation),
        test_films=len(split.test),
        seconds=time.monotonic() - began,
    )
    return JobResult(
        job=job,
        history=history,
        predictions=predicted(split.test),
        validation=validation,
        temperature=fit_temperature(validation.rows, validation.truth),
        weights=fold.weights,
        parameters=parameter_count(fold.network),
        input_size=recipe.input_size,
        validation_auc=fitted.best_auc,
        validation_loss=fitted.epochs[fitted.best_epoch - 1].validation_loss,
        data_sha256=images.sha256,
        model_sha256=None,
    )


def store_result(work: ClaimedJob, fold: Fold, result: JobResult) -> None:
    """Store the weights, unless they are of the leaky protocol, and the result last; the checkpoint goes."""
    store, plan = work.store, work.plan
    if fold.job.protocol == "patient":
        trained = network_to_bytes(fold.network)
        result = result.model_copy(update={"model_sha256": hashlib.sha256(trained).hexdigest()})
        store.put(weights_key(plan, result), trained)
    store.delete(layout.fold_file(plan.run, fold.job.name, CHECKPOINT))
    store.finish(result.model_dump_json().encode())


def _checkpoint_writer(work: ClaimedJob, identity: str, every_s: float) -> Callable[[Checkpoint], None]:
    """Return a function that stores a checkpoint when the last one is old, or the job has to stop."""
    stored_at = time.monotonic()

    def write(checkpoint: Checkpoint) -> None:
        nonlocal stored_at
        if time.monotonic() - stored_at < every_s and not work.stopping():
            return
        stored_at = time.monotonic()
        work.store.put(layout.fold_file(work.plan.run, work.unit, CHECKPOINT), to_bytes(checkpoint, identity))
        work.store.got_somewhere()

    return write


def _read_checkpoint(work: ClaimedJob, identity: str) -> Checkpoint | None:
    """Read the checkpoint that an earlier worker left; None when the job has to begin anew."""
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
