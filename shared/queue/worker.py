"""The common shell of all workers: the Celery application, and what surrounds the core of every unit of work.

A unit is read from the store, skipped when its output is there, done by the service's own function, and followed by
`pipeline.advance`. What fails and may work later is tried again with a growing pause; what can't work is set aside
under `failed/` with its reason.
"""

import logging
import random
import time
from collections.abc import Callable
from functools import cache

import redis
from celery import Celery, Task, signals
from kombu.exceptions import OperationalError
from prometheus_client import start_http_server

from shared import metrics
from shared.errors import MammoError, PlanError, QueueUnavailable
from shared.logs import configure_logs
from shared.queue import pipeline
from shared.queue.lease import LeaseHeld, lease
from shared.queue.messages import QUEUES, Enqueue, Message, task_name
from shared.queue.plan import Plan, Stage, Unit, read_plan
from shared.settings import Settings, settings
from shared.store.objects import ObjectStore, check_conditional_writes, open_store

Work = Callable[[ObjectStore, Plan, str], None]
"""What a service does with one unit of a plan, given by its name."""

LEASE_S = 30.0
_LEASE_PAUSE_S = 5.0
_LONG: tuple[Stage, ...] = ("train", "evaluate", "publish", "promote")
_log = logging.getLogger("mammostack.worker")


def make_app(config: Settings) -> Celery:
    """The Celery application. Every process, workers and senders, gets the same options: a shorter visibility
    time-out in one of them would deliver the others' messages twice."""
    app = Celery("mammostack", broker=config.redis_url.get_secret_value())
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": config.visibility_timeout_s,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
    )
    return app


@cache
def worker_store() -> ObjectStore:
    return open_store(settings())


@cache
def worker_redis() -> "redis.Redis":
    return redis.Redis.from_url(settings().redis_url.get_secret_value(), socket_timeout=5)


def enqueue_with(app: Celery, *, patient: bool) -> Enqueue:
    """Puts messages into the broker: `patient` waits for one that is away (workers), else it is an error (people)."""

    def enqueue(stage: Stage, message: Message) -> None:
        try:
            app.send_task(task_name(stage), kwargs=message.model_dump(), queue=QUEUES[stage], retry=patient)
        except (OperationalError, redis.RedisError) as error:
            raise QueueUnavailable(
                f"the broker of MAMMO_REDIS_URL can't be reached ({str(error).rstrip('.')}); start it"
            ) from error

    return enqueue


def unit_task(app: Celery, stage: Stage) -> Callable[[Work], Work]:
    """Makes a service's function the task of `stage`; the function itself stays callable as it is."""

    def register(work: Work) -> Work:
        def run_unit(task: Task, run: str, unit: str) -> None:
            _perform(task, stage, work, Message(run=run, unit=unit))

        app.task(name=task_name(stage), bind=True, max_retries=settings().task_retries)(run_unit)
        return work

    return register


def _perform(task: Task, stage: Stage, work: Work, message: Message) -> None:
    ids = {"run": message.run, "stage": stage, "unit": message.unit}
    store, began = worker_store(), time.monotonic()
    enqueue = enqueue_with(task.app, patient=True)
    plan = None
    try:
        plan = read_plan(store, message.run)
        unit = _unit(plan, stage, message.unit)
        outcome = "skipped" if store.exists(unit.done_key) else "done"
        if outcome == "done":
            _work(store, plan, unit, work)
        pipeline.advance(store, enqueue, plan, stage)
    except LeaseHeld as held:
        # Sent again rather than retried: waiting for another worker is no failed attempt and has no last one. Dropping
        # the message would lose the job if that worker died, for this may be the only copy left.
        _log.info("unit waits", extra={**ids, "reason": str(held)})
        task.apply_async(kwargs=message.model_dump(), queue=QUEUES[stage], countdown=_LEASE_PAUSE_S)
        return
    except Exception as error:
        hopeless = isinstance(error, MammoError) and not error.retryable
        metrics.UNITS.labels(stage, "failed").inc()
        _log.warning("unit failed", extra={**ids, "attempt": task.request.retries + 1}, exc_info=not hopeless)
        if not hopeless and task.request.retries < task.max_retries:
            raise task.retry(exc=error, countdown=_pause(task.request.retries)) from error
        if plan is None:
            raise
        failure = pipeline.give_up(store, plan, stage, message.unit, error)
        _log.error("unit given up", extra={**ids, "reason": failure.message})
        return
    seconds = time.monotonic() - began
    metrics.UNITS.labels(stage, outcome).inc()
    metrics.UNIT_SECONDS.labels(stage).observe(seconds)
    _log.info("unit %s", outcome, extra={**ids, "seconds": round(seconds, 3)})


def _work(store: ObjectStore, plan: Plan, unit: Unit, work: Work) -> None:
    if unit.stage not in _LONG:
        work(store, plan, unit.name)
        return
    with lease(worker_redis(), f"{plan.run}/{unit.stage}/{unit.name}", LEASE_S):
        work(store, plan, unit.name)


def _unit(plan: Plan, stage: Stage, name: str) -> Unit:
    for unit in plan.units(stage):
        if unit.name == name:
            return unit
    raise PlanError(f"run {plan.run} has no unit '{name}' in its stage {stage}")


def _pause(tries: int) -> float:
    """Seconds before the next try: 1, 2, 4, ... at most a minute, half of it by chance so that workers spread out."""
    longest = min(60.0, 2.0**tries)
    return longest / 2 + random.uniform(0, longest / 2)  # noqa: S311  no secret


@signals.worker_init.connect
def _prepare(**_: object) -> None:
    """Finds at start-up what would otherwise fail in the middle of a run."""
    config = settings()
    configure_logs(config.log_level)
    try:
        check_conditional_writes(worker_store())
    except MammoError as error:
        raise SystemExit(f"mammostack: {error}") from error
    if config.metrics_port:
        start_http_server(config.metrics_port, addr=config.metrics_host)


@signals.setup_logging.connect
def _keep_our_logs(**_: object) -> None:
    """Connected so that Celery leaves logging alone."""
