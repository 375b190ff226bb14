"""The training worker: training jobs, the evaluation of a run, and publishing and promoting what came out of it."""

import hashlib
import json
from contextlib import suppress
from functools import partial

from services.train.distributed.setup import training_device
from services.train.evaluation.baselines import logistic_regression
from services.train.evaluation.evaluate import evaluate_run
from services.train.evaluation.report import best_result, render, report_is_intact
from services.train.evaluation.worst_errors import mistakes
from services.train.fold import train_fold
from services.train.jobs import delete_weights, read_results, result_is_intact
from services.train.publishing.publish import model_is_intact, publish_best
from services.train.tracking import check_trackers
from shared.errors import PreconditionFailed, PromotionRefused
from shared.modelling.network_table import as_network
from shared.runs.pipeline import failures
from shared.runs.plan import Plan
from shared.runs.sources import RESULTS, results_document
from shared.runs.tasks import ClaimedJob, JobTask
from shared.settings import TrainingProcessSettings
from shared.store import layout, models
from shared.store.ingest import stored_manifest
from shared.store.interface import ObjectStore


def evaluate(work: ClaimedJob, settings: TrainingProcessSettings) -> None:
    """Store the run's report; the digests of its files, which say that the stage is done, last."""
    store, plan = work.store, work.plan
    missing = len([failure for failure in failures(store, plan.run) if failure.film])
    results = read_results(store, plan)
    device = training_device(settings.compute, settings.training)
    frozen = logistic_regression(store, plan, device) if "patient" in plan.protocols else None
    evaluation = evaluate_run(plan, stored_manifest(store, plan.dataset), results, missing, frozen)
    evaluation = evaluation.model_copy(update={"created": _first_evaluated(store, plan, evaluation.created)})
    best = best_result(evaluation)
    files = render(evaluation, mistakes(store, plan, as_network(best.network), results) if best else ())
    files |= {RESULTS: results_document(store, plan)}
    for name, data in files.items():
        store.put(layout.report_file(plan.run, name), data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    store.finish(json.dumps(digests).encode())


def publish(work: ClaimedJob) -> None:
    """Publish the network of the best fold by validation and make it the candidate.

    The run gives the version its name.
    """
    store, plan, network = work.store, work.plan, as_network(work.unit)
    results = [r for r in read_results(store, plan) if (r.job.network, r.job.protocol) == (network, "patient")]
    if not model_is_intact(store, plan, network):
        publish_best(store, plan, network, results)
    with suppress(PromotionRefused):  # somebody else's is the latest, then
        models.promote(
            store, network, plan.run, models.MoveReason(by=f"run {plan.run}", why="published"), alias=models.CANDIDATE
        )
    # the weights of the folds are needed no more; the mark comes last, so that none is left behind
    for result in results:
        delete_weights(store, plan, result.job.name)
    store.finish(json.dumps({"network": network, "version": plan.run}).encode())


def promote(work: ClaimedJob) -> None:
    """Ask the gate for `production`; a refusal ends the run as well, and the reason is kept."""
    store, run, network, better = work.store, work.plan.run, work.unit, work.plan.only_if_better
    outcome: dict[str, object]
    why = "the run was to promote it if it is better" if better else "the run was to promote it"
    try:
        move = models.promote(store, network, run, models.MoveReason(by=f"run {run}", why=why), only_if_better=better)
        outcome = {"promoted": True, "version": move.version, "previous": move.previous}
    except PromotionRefused as refusal:
        outcome = {"promoted": False, "version": run, "reason": str(refusal)}
    store.finish(json.dumps(outcome).encode())


def _first_evaluated(store: ObjectStore, plan: Plan, when: str) -> str:
    """Return when a run was first evaluated: whoever evaluates it writes the same bytes."""
    key = layout.report_file(plan.run, "begun")
    with suppress(PreconditionFailed):
        store.put(key, when.encode(), if_absent=True)
    return store.get(key).decode()


def unit_tasks(settings: TrainingProcessSettings) -> tuple[JobTask, ...]:
    """Return the kinds of units that this worker does.

    Raises:
        SettingsError: a tracker is set whose package is not installed.
    """
    check_trackers(settings.training)
    retries = settings.worker.retries
    return (
        JobTask("train", partial(train_fold, settings=settings), result_is_intact, retries),
        JobTask("evaluate", partial(evaluate, settings=settings), report_is_intact, retries),
        JobTask("publish", publish, model_is_intact, retries),
        JobTask("promote", promote, lambda _store, _plan, _unit: True, retries),
    )
