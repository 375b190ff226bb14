"""The training worker: training jobs, and the evaluation, publishing and promotion of a run's networks."""

import json
from contextlib import suppress
from functools import partial

from services.train.distributed.setup import training_device
from services.train.evaluation.baselines import logistic_regression
from services.train.evaluation.evaluate import evaluate_run
from services.train.evaluation.report import best_result, render, report_is_intact
from services.train.evaluation.worst_errors import confident_errors
from services.train.external import JudgeTask
from services.train.fold import train_fold
from services.train.jobs import delete_weights, read_results, result_is_intact, results_of
from services.train.publishing.publish import model_is_intact, publish_best, published_protocol
from services.train.tracking import check_trackers
from shared.digests import sha256_hex
from shared.errors import PreconditionFailed, PromotionRefused
from shared.modelling.network_table import as_network
from shared.runs.decisions import PromotionDecision
from shared.runs.pipeline import failures
from shared.runs.plan import Plan
from shared.runs.sources import RESULTS, planned_manifest, results_document
from shared.runs.tasks import ClaimedJob, JobTask
from shared.settings import TrainingProcessSettings
from shared.store import layout, models
from shared.store.interface import ObjectStore


def evaluate(claimed: ClaimedJob, settings: TrainingProcessSettings) -> None:
    """Store the run's report, and last the digests of its files, which mark the stage as done."""
    store, plan = claimed.store, claimed.plan
    missing = len([failure for failure in failures(store, plan.run) if failure.film])
    results = read_results(store, plan)
    device = training_device(settings.compute, settings.training)
    regression = logistic_regression(store, plan, device) if plan.honest else None
    evaluation = evaluate_run(plan, planned_manifest(store, plan), results, missing, regression)
    evaluation = evaluation.model_copy(update={"created": _first_evaluated(store, plan, evaluation.created)})
    best = best_result(evaluation)
    files = render(evaluation, confident_errors(store, plan, as_network(best.network), results) if best else ())
    files |= {RESULTS: results_document(store, plan)}
    for name, data in files.items():
        store.put(layout.report_file(plan.run, name), data)
    digests = {name: sha256_hex(data) for name, data in files.items()}
    store.finish(json.dumps(digests).encode())


def publish(claimed: ClaimedJob) -> None:
    """Publish the network of the fold with the best validation scores as the run's version, and make it candidate."""
    store, plan, network = claimed.store, claimed.plan, as_network(claimed.unit)
    results = results_of(read_results(store, plan), network, published_protocol(plan))
    if not model_is_intact(store, plan, network):
        publish_best(store, plan, network, results)
    with suppress(PromotionRefused):  # another run has moved the alias at the same time
        models.promote(
            store, network, plan.run, models.MoveReason(by=f"run {plan.run}", why="published"), alias=models.CANDIDATE
        )
    # the weights of the folds are not needed any more; the unit is marked as done last, so that all are deleted
    for result in results:
        delete_weights(store, plan, result.job.name)
    store.finish(json.dumps({"network": network, "version": plan.run}).encode())


def promote(claimed: ClaimedJob) -> None:
    """Promote the run's version to `production`, or store the reason for which the gate refuses it."""
    store, run, network, better = claimed.store, claimed.plan.run, claimed.unit, claimed.plan.only_if_better
    why = "the run was to promote it if it is better" if better else "the run was to promote it"
    try:
        move = models.promote(store, network, run, models.MoveReason(by=f"run {run}", why=why), only_if_better=better)
        decision = PromotionDecision(promoted=True, version=move.version, previous=move.previous)
    except PromotionRefused as refusal:
        decision = PromotionDecision(promoted=False, version=run, reason=str(refusal))
    store.finish(json.dumps(decision.model_dump(exclude_unset=True)).encode())


def _first_evaluated(store: ObjectStore, plan: Plan, when: str) -> str:
    """Return when the run was first evaluated, so that another evaluation writes the same bytes."""
    key = layout.report_file(plan.run, "begun")
    with suppress(PreconditionFailed):
        store.put(key, when.encode(), if_absent=True)
    return store.get(key).decode()


def unit_tasks(settings: TrainingProcessSettings) -> tuple[JobTask | JudgeTask, ...]:
    """Return the kinds of units that this worker does.

    Raises:
        SettingsError: a tracker is configured whose package is not installed.
    """
    check_trackers(settings.training)
    retries = settings.worker.retries
    return (
        JobTask("train", partial(train_fold, settings=settings), result_is_intact, retries),
        JobTask("evaluate", partial(evaluate, settings=settings), report_is_intact, retries),
        JobTask("publish", publish, model_is_intact, retries),
        JobTask("promote", promote, lambda _store, _plan, _unit: True, retries),
        JudgeTask(retries, settings.compute.cores),
    )
