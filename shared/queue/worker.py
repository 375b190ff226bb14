"""The common shell of all workers: what surrounds the core of every unit of work.

A unit is read from the store, skipped when its output is there and whole, done by the service's own function under a
lease, and followed by `pipeline.advance`. Trouble of the surroundings is waited out; what fails by itself is tried
again with a growing pause, a bounded number of times, and then set aside under `failed/` with its reason.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from celery import Celery, Task
from celery.exceptions import Reject

from shared import metrics
from shared.errors import JobInterrupted, MammoError, QueueUnavailable, RunNotFound, StoreMisconfigured
from shared.queue.attempts import OUTSIDE
from shared.queue.broker import Broker
from shared.queue.celery_app import end_worker, shutting_down, worker_broker, worker_store
from shared.queue.claim import Superseded
from shared.queue.lease import LeaseHeld, lease
from shared.queue.messages import Kind, Message, task_name
from shared.settings import WorkerSettings, settings
from shared.store.interface import ObjectStore

_LEASE_PAUSE_S = 4.0
_LONGEST_PAUSE_S = 8.0
_log = logging.getLogger("mammostack.worker")


class ReasonUnstorable(MammoError):
    """Stands for an error whose own words can't be stored."""

    code = "reason-unstorable"


@dataclass(frozen=True)
class Work:
    """How one kind of unit is done. Both functions get the message that names it.

    `carry_out` does it under `holding` and returns its outcome, a word for the metrics. `give_up` notes the
    error with which it was tried for the last time, and returns a line for the log.
    """

    kind: Kind
    carry_out: Callable[[ObjectStore, Broker, Message], str]
    give_up: Callable[[ObjectStore, Broker, Message, Exception], str]


def unit_task(app: Celery, work: Work) -> None:
    """Makes a kind of work a task of the application."""

    def run_unit(task: Task, run: str, unit: str) -> None:
        _perform(task, work, Message(run=run, unit=unit))

    for outcome in ("done", "failed", "given up"):  # 0 is there from the start, so that the first one is seen to be one
        metrics.UNITS.labels(work.kind, outcome)
    app.task(name=task_name(work.kind), bind=True)(run_unit)


def _perform(task: Task, work: Work, message: Message) -> None:
    """One delivery of a message. It ends with the unit done, or the message sent again, or the unit given up."""
    stage = work.kind
    ids = {"run": message.run, "stage": stage, "unit": message.unit, "task": task.request.id}
    store, broker, began = worker_store(), worker_broker(task.app), time.monotonic()
    tries = task.request.retries
    try:
        with metrics.UNITS_IN_HAND.labels(stage).track_inprogress():
            outcome = work.carry_out(store, broker, message)
    except LeaseHeld as held:
        # Sent again rather than dropped: this may be the only copy left, should that worker die.
        _log.info("unit waits", extra={**ids, "reason": str(held)})
        return _send_again(broker, stage, message, tries, _LEASE_PAUSE_S)
    except (Superseded, RunNotFound) as error:
        _log.warning("unit dropped", extra={**ids, "reason": str(error)})
        outcome = "dropped"
    except JobInterrupted as interrupted:
        _log.info("unit interrupted", extra={**ids, "reason": str(interrupted)})
        raise Reject(interrupted, requeue=True) from interrupted
    except StoreMisconfigured as error:
        # Not this unit's fault, and no other unit would fare better: the worker goes, the message stays.
        _log.critical("worker ends: %s", error, extra=ids)
        end_worker()
        raise Reject(error, requeue=True) from error
    except OUTSIDE as trouble:
        _log.warning("unit waits", extra={**ids, "reason": str(trouble)})
        return _send_again(broker, stage, message, tries, _pause(9))
    except Exception as error:  # noqa: BLE001  whatever it is, the unit is tried again or given up
        hopeless = isinstance(error, MammoError) and not error.retryable
        metrics.UNITS.labels(stage, "failed").inc()
        _log.warning("unit failed", extra={**ids, "try": tries + 1}, exc_info=None if hopeless else error)
        if not hopeless and tries < settings(WorkerSettings).task_retries:
            return _send_again(broker, stage, message, tries + 1, _pause(tries))
        outcome = "given up"
        reason = _give_up(work, store, broker, message, error)
        if reason is None:
            return _send_again(broker, stage, message, tries, _pause(9))
        _log.error("unit given up", extra={**ids, "reason": reason})
    seconds = time.monotonic() - began
    metrics.UNITS.labels(stage, outcome).inc()
    metrics.UNIT_SECONDS.labels(stage).observe(seconds)
    _log.info("unit %s", outcome, extra={**ids, "seconds": round(seconds, 3)})
    return None


def _give_up(work: Work, store: ObjectStore, broker: Broker, message: Message, error: Exception) -> str | None:
    """Note why a unit is given up, in fewer words where the error's own can't be stored.

    Returns:
        A line for the log; None where nothing could be noted, and the unit has to come again.
    """
    for reason in (error, ReasonUnstorable("it failed every time, and why can't be stored; the worker's log has it")):
        try:
            return work.give_up(store, broker, message, reason)
        except OUTSIDE:
            return None
        except Exception:  # noqa: BLE001  whatever it is, the unit must not get lost
            _log.exception("the reason of a unit that is given up can't be stored", extra=message.model_dump())
    return None


@contextmanager
def holding(broker: Broker, name: str, is_cancelled: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Makes the block the one owner of a unit, and tells it when it should stop: because the worker is to end, the
    unit was cancelled, or another worker has taken it over.

    Args:
        is_cancelled: asked with every beat of the lease; may raise MammoError.

    Raises:
        LeaseHeld: another worker has the unit.
    """
    cancelled = threading.Event()

    def look_for_cancellation() -> None:
        with suppress(MammoError):
            if is_cancelled():
                cancelled.set()

    # it runs out before the message of a dead owner is delivered again
    lease_s = 0.75 * settings(WorkerSettings).visibility_timeout_s
    with lease(broker.client, name, lease_s, look_for_cancellation) as held:
        yield lambda: shutting_down.is_set() or cancelled.is_set() or held.lost


def _send_again(broker: Broker, kind: Kind, message: Message, tries: int, in_s: float) -> None:
    try:
        broker.send_again(kind, message, tries=tries, in_s=in_s)
    except QueueUnavailable as error:
        # Neither acknowledged nor lost: the broker delivers it again when it is back.
        raise Reject(error, requeue=True) from error


def _pause(tries: int) -> float:
    """Seconds before the next try: 1, 2, 4, ... half of it by chance so that workers spread out. Never as long as the
    visibility time-out, or the waiting message would be delivered once more."""
    longest = min(_LONGEST_PAUSE_S, 2.0**tries)
    return longest / 2 + random.uniform(0, longest / 2)  # noqa: S311  no secret
