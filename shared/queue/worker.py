"""Run units as Celery tasks: the task loop of all workers.

A unit is read from the store, skipped if its output is intact, processed by its `UnitTask` under a lease, and followed
by the next step. After an infrastructure error its message is sent again. A unit that fails by itself is retried with
a growing pause, a bounded number of times, and then recorded under `failed/` with its reason.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from celery import Task
from celery.exceptions import Reject

from shared import metrics
from shared.errors import JobInterrupted, MammoError, QueueUnavailable, RunNotFound, StoreMisconfigured
from shared.queue.attempts import INFRASTRUCTURE_ERRORS, disk_failures_told
from shared.queue.broker import Broker
from shared.queue.claim import Superseded
from shared.queue.lease import LeaseHeld, lease
from shared.queue.messages import SENT_AT, Message, UnitKind, task_name
from shared.queue.process import WorkerProcess
from shared.queue.unit_task import U, UnitTask
from shared.store.interface import ObjectStore

_LEASE_PAUSE_S = 4.0
_LONGEST_PAUSE_S = 8.0
_log = logging.getLogger("mammostack.worker")


class ReasonUnstorable(MammoError):
    """Substitute for an error whose own message can't be stored."""

    code = "reason-unstorable"


def register(worker: WorkerProcess, *table: UnitTask[Any]) -> None:
    """Register a Celery task for each kind of unit."""
    for kind in table:
        _register(worker, kind)


def _register(worker: WorkerProcess, kind: UnitTask[U]) -> None:
    def run_unit(task: Task, run: str, unit: str, **_of_the_next_release: object) -> None:
        _perform(worker, task, kind, Message(run=run, unit=unit))

    for outcome in (
        "done",
        "failed",
        "given up",
        "unknown run",
    ):  # 0 is there from the start, so that the first one is seen to be one
        metrics.UNITS.labels(kind.kind, outcome)
    worker.app.task(name=task_name(kind.kind), bind=True, shared=False)(run_unit)


def _perform(worker: WorkerProcess, task: Task, kind: UnitTask[U], message: Message) -> None:
    """Handle one delivery: process the unit, send its message again, or give it up."""
    stage = kind.kind
    ids = {"run": message.run, "stage": stage, "unit": message.unit, "task": task.request.id}
    store, broker, began = worker.store, worker.broker, time.monotonic()
    tries, again = task.request.retries, _Sender(broker, stage, message, getattr(task.request, SENT_AT, None))
    try:
        with metrics.UNITS_IN_HAND.labels(stage).track_inprogress():
            outcome = _carry_out(worker, kind, message)
    except LeaseHeld as held:
        # Sent again rather than dropped: this may be the only copy left, should that worker die.
        _log.info("unit waits", extra={**ids, "reason": str(held)})
        return again.send(tries, _LEASE_PAUSE_S)
    except Superseded as error:
        _log.warning("unit dropped", extra={**ids, "reason": str(error)})
        outcome = "dropped"
    except RunNotFound as error:
        # Either the run was deleted, or this worker has another store than the sender: others may know the run.
        if tries < worker.settings.worker.retries:
            _log.warning("unit waits", extra={**ids, "reason": str(error)})
            return again.send(tries + 1, _pause(9))
        _log.error("unit of an unknown run dropped", extra={**ids, "reason": str(error)})
        outcome = "unknown run"
    except JobInterrupted as interrupted:
        _log.info("unit interrupted", extra={**ids, "reason": str(interrupted)})
        raise Reject(interrupted, requeue=True) from interrupted
    except StoreMisconfigured as error:
        # Not this unit's fault, and every other unit would fail as well: the worker ends, the message stays.
        _log.critical("worker ends: %s", error, extra=ids)
        worker.end()
        raise Reject(error, requeue=True) from error
    except INFRASTRUCTURE_ERRORS as error:
        _log.warning("unit waits", extra={**ids, "reason": str(error)})
        return again.send(tries, _pause(9))
    except Exception as error:  # noqa: BLE001  whatever it is, the unit is tried again or given up
        hopeless = isinstance(error, MammoError) and not error.retryable
        metrics.UNITS.labels(stage, "failed").inc()
        _log.warning("unit failed", extra={**ids, "try": tries + 1}, exc_info=None if hopeless else error)
        if not hopeless and tries < worker.settings.worker.retries:
            return again.send(tries + 1, _pause(tries))
        outcome = "given up"
        reason = _give_up(kind, store, broker, message, error)
        if reason is None:
            return again.send(tries, _pause(9))
        _log.error("unit given up", extra={**ids, "reason": reason})
    seconds = time.monotonic() - began
    metrics.UNITS.labels(stage, outcome).inc()
    metrics.UNIT_SECONDS.labels(stage).observe(seconds)
    _log.info("unit %s", outcome, extra={**ids, "seconds": round(seconds, 3)})
    return None


def _carry_out(worker: WorkerProcess, kind: UnitTask[U], message: Message) -> str:
    """Process a unit unless it is done or cancelled; return the outcome for the metrics."""
    store, broker = worker.store, worker.broker
    unit = kind.load(store, message)
    if kind.is_cancelled(store, unit):
        return kind.on_cancelled(broker, unit)
    with _holding(worker, kind.done_key(unit), lambda: kind.is_cancelled(store, unit)) as stopping:
        skipped = kind.is_done(store, unit)
        if not skipped:
            with disk_failures_told():
                kind.execute(store, broker, unit, stopping)
        kind.advance(store, broker, unit)
    return "skipped" if skipped else "done"


def _give_up(kind: UnitTask[U], store: ObjectStore, broker: Broker, message: Message, error: Exception) -> str | None:
    """Store the reason why a unit is given up, or a substitute for it.

    Returns:
        A line for the log; None if nothing could be stored, so that the message has to be sent again.
    """
    for reason in (
        error,
        ReasonUnstorable("it failed at every attempt, and the reason can't be stored; see the worker's log"),
    ):
        try:
            return kind.on_failure(store, broker, message, reason)
        except INFRASTRUCTURE_ERRORS:
            return None
        except Exception:  # noqa: BLE001  whatever it is, the unit must not get lost
            _log.exception("the reason of a unit that is given up can't be stored", extra=message.model_dump())
    return None


@contextmanager
def _holding(worker: WorkerProcess, name: str, is_cancelled: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Hold the lease of a unit for the duration of the block.

    Yields a function that returns True once the block should stop: the worker ends, the unit was cancelled, or another
    worker has taken it over.

    Args:
        worker: process that holds the lease.
        name: name of the lease.
        is_cancelled: called at every beat of the lease; may raise MammoError.

    Raises:
        LeaseHeld: another worker processes the unit.
    """
    cancelled = threading.Event()

    def look_for_cancellation() -> None:
        with suppress(MammoError):
            if is_cancelled():
                cancelled.set()

    # it expires before the message of a dead owner is delivered again
    lease_s = 0.75 * worker.settings.broker.visibility_timeout_s
    with lease(worker.broker.client, name, lease_s, look_for_cancellation) as held:
        yield lambda: worker.shutting_down.is_set() or cancelled.is_set() or held.lost


@dataclass(frozen=True)
class _Sender:
    """What sends a message again, as old as it is."""

    broker: Broker
    kind: UnitKind
    message: Message
    sent_at: float | None

    def send(self, tries: int, in_s: float) -> None:
        try:
            self.broker.send_again(self.kind, self.message, tries=tries, in_s=in_s, sent_at=self.sent_at)
        except QueueUnavailable as error:
            # Neither acknowledged nor lost: the broker delivers it again when it is back.
            raise Reject(error, requeue=True) from error


def _pause(tries: int) -> float:
    """Return the seconds before the next attempt: 1, 2, 4, ..., half of them random.

    Randomness spreads the workers. The pause stays below the visibility time-out, because the waiting message would be
    delivered twice otherwise.
    """
    longest = min(_LONGEST_PAUSE_S, 2.0**tries)
    return longest / 2 + random.uniform(0, longest / 2)  # noqa: S311  no secret
