"""Retraining at set times: tell whether a run would train what an earlier one trained already."""

from typing import Any

from shared.errors import ObjectOfLaterRelease, ObjectUnreadable
from shared.runs.pipeline import is_cancelled, list_runs
from shared.runs.plan import Plan, read_plan
from shared.store.interface import ObjectStore


def earlier_run(store: ObjectStore, plan: Plan) -> Plan | None:
    """Find the newest run that trains all of a plan's networks and protocols from the same films in the same way.

    Runs that were cancelled, or whose plan can't be read, don't count.
    """
    for name in reversed(list_runs(store)):
        try:
            earlier = read_plan(store, name)
        except (ObjectUnreadable, ObjectOfLaterRelease):
            continue
        if trains_the_same(earlier, plan) and not is_cancelled(store, name):
            return earlier
    return None


def trains_the_same(earlier: Plan, plan: Plan) -> bool:
    """Return True if `earlier` gives the models of `plan`; it may train other networks and protocols besides."""
    return (
        bool(plan.films_sha256)
        and set(plan.protocols) <= set(earlier.protocols)
        and set(plan.networks) <= set(earlier.networks)
        and _identity(earlier, plan) == _identity(plan, plan)
    )


def _identity(plan: Plan, wanted: Plan) -> tuple[Any, ...]:
    """Return everything that determines the models of the networks of `wanted`."""
    networks = [(plan.training[network], plan.weights[network]) for network in wanted.networks]
    films = (plan.dataset, plan.films_sha256, plan.augmentation)
    return (*films, plan.code_version, plan.seed, plan.folds, plan.repeats, networks)
