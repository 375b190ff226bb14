"""The training worker: training jobs, the evaluation of a run, and publishing and promoting what came out of it."""

import hashlib
import json
import logging
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from services.train.data.batches import class_weights
from services.train.data.frozen_features import frozen_maps
from services.train.data.inputs import job_split, lesion_places, load_images
from services.train.data.lesion_targets import breast_places
from services.train.distributed.setup import trainer, training_device
from services.train.evaluation.baselines import logistic_regression
from services.train.evaluation.evaluate import evaluate_run
from services.train.evaluation.report import best_result, render, report_is_intact
from services.train.evaluation.worst_errors import mistakes
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
    delete_weights,
    job_identity,
    parse_job,
    predictions_of,
    read_results,
    result_is_intact,
    weights_key,
)
from services.train.publishing.publish import model_is_intact, publish_best
from services.train.tracking import check_trackers, tracked
from shared import metrics
from shared.errors import ObjectNotFound, PreconditionFailed, PromotionRefused
from shared.imaging.preprocess import Preprocessing
from shared.modelling.calibration import fit_temperature
from shared.modelling.evaluation import EpochRecord, FoldHistory
from shared.modelling.networks import map_edge, parameter_count
from shared.modelling.predictions import Predictions
from shared.modelling.recipes import as_network
from shared.queue.celery_app import make_app
from shared.runs.pipeline import failures, set_aside
from shared.runs.plan import Plan
from shared.runs.status import JobProgress
from shared.runs.tasks import Assignment, job_task
from shared.settings import settings
from shared.store import layout, models
from shared.store.ingest import stored_manifest
from shared.store.interface import ObjectStore

app = make_app(settings())
check_trackers(settings())
_log = logging.getLogger("mammostack.train")


@job_task(app, "train", result_is_intact)
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
        if time.monotonic() - kept_at < settings().checkpoint_every_s and not work.stopping():
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

    with tracked(settings(), plan.run, job.name, recipe, done=len(start.progress.epochs) if start else 0) as tell:

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


@job_task(app, "evaluate", report_is_intact)
def evaluate(work: Assignment) -> None:
    """Stores the run's report; the digests of its files, which say that the stage is done, last."""
    store, plan = work.store, work.plan
    missing = len([failure for failure in failures(store, plan.run) if failure.film])
    results = read_results(store, plan)
    frozen = logistic_regression(store, plan) if "patient" in plan.protocols else None
    evaluation = evaluate_run(plan, stored_manifest(store, plan.dataset), results, missing, frozen)
    evaluation = evaluation.model_copy(update={"created": _first_evaluated(store, plan, evaluation.created)})
    best = best_result(evaluation)
    files = render(evaluation, mistakes(store, plan, as_network(best.network), results) if best else ())
    for name, data in files.items():
        store.put(layout.report_file(plan.run, name), data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    store.finish(json.dumps(digests).encode())


@job_task(app, "publish", model_is_intact)
def publish(work: Assignment) -> None:
    """Publishes the network of the fold that did best on its validation films, and makes it the candidate; the run
    gives the version its name."""
    store, plan, network = work.store, work.plan, as_network(work.unit)
    results = [r for r in read_results(store, plan) if (r.job.network, r.job.protocol) == (network, "patient")]
    if not model_is_intact(store, plan, network):
        publish_best(store, plan, network, results)
    with suppress(PromotionRefused):  # somebody else's is the latest, then
        models.promote(store, network, plan.run, by=f"run {plan.run}", why="published", alias=models.CANDIDATE)
    # the weights of the folds are needed no more; the mark comes last, so that none is left behind
    for result in results:
        delete_weights(store, plan, result.job.name)
    store.finish(json.dumps({"network": network, "version": plan.run}).encode())


@job_task(app, "promote", lambda _store, _plan, _unit: True)
def promote(work: Assignment) -> None:
    """Asks the gate for `production`; a refusal ends the run as well, and the reason is kept."""
    store, run, network, better = work.store, work.plan.run, work.unit, work.plan.only_if_better
    outcome: dict[str, object]
    why = "the run was to promote it if it is better" if better else "the run was to promote it"
    try:
        move = models.promote(store, network, run, by=f"run {run}", why=why, only_if_better=better)
        outcome = {"promoted": True, "version": move.version, "previous": move.previous}
    except PromotionRefused as refusal:
        outcome = {"promoted": False, "version": run, "reason": str(refusal)}
    store.finish(json.dumps(outcome).encode())


def _first_evaluated(store: ObjectStore, plan: Plan, when: str) -> str:
    """When a run was first evaluated: the same for all who evaluate it, so that they write the same bytes."""
    key = layout.report_file(plan.run, "begun")
    with suppress(PreconditionFailed):
        store.put(key, when.encode(), if_absent=True)
    return store.get(key).decode()


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
