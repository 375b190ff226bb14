"""Unfinished runs whose messages are lost: nothing goes on by itself, and `mammo resume` helps."""

from shared.errors import ObjectNotFound, ObjectOfLaterRelease, ObjectUnreadable, RunNotFound
from shared.queue.messages import STAGES, Queue
from shared.runs.pipeline import failures, is_cancelled, list_runs, missing_units
from shared.runs.plan import Plan, read_plan
from shared.runs.sources import films_changed
from shared.store.interface import ObjectStore


def unattended_runs(store: ObjectStore, queue: Queue, finished: set[str]) -> list[str]:
    """List the unfinished runs that nothing in the broker continues, the oldest first.

    Left out are runs that were cancelled, have a unit that was given up, or can't go on since their films changed; and
    runs with a record that can't be read: `mammo doctor` lists them.

    Args:
        finished: runs that are known to be finished; those that are found to be are added.

    Raises:
        QueueUnavailable: the broker does not answer.
    """
    return [
        run for run in list_runs(store) if run not in finished and _is_known_unattended(store, queue, run, finished)
    ]


def _is_known_unattended(store: ObjectStore, queue: Queue, run: str, finished: set[str]) -> bool:
    try:
        return _is_unattended(store, queue, run, finished)
    except (RunNotFound, ObjectNotFound, ObjectUnreadable, ObjectOfLaterRelease):  # one that is gone was removed since
        return False


def _is_unattended(store: ObjectStore, queue: Queue, run: str, finished: set[str]) -> bool:
    plan = read_plan(store, run)
    if _is_finished(store, plan):
        finished.add(run)
        return False
    if is_cancelled(store, run) or any(failure.film is None for failure in failures(store, run)):
        return False
    return not films_changed(store, plan) and not any(queue.is_under_way(run, stage) for stage in STAGES)


def _is_finished(store: ObjectStore, plan: Plan) -> bool:
    last = next(stage for stage in reversed(STAGES) if plan.count(stage))
    return next(missing_units(store, plan, last), None) is None
