"""The stages of a run as tasks of a worker: shards of films, and long jobs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from celery import Celery

from shared import metrics
from shared.domain.films import Variant
from shared.queue.attempts import WorkerLost
from shared.queue.broker import Broker
from shared.queue.claim import FencedStore, claimed
from shared.queue.messages import Message, Stage
from shared.queue.worker import Work, holding, unit_task
from shared.runs import pipeline
from shared.runs.plan import Plan, Unit, read_plan
from shared.runs.shards import ShardStage, do_shard, is_intact
from shared.settings import WorkerSettings, settings
from shared.store import layout
from shared.store.interface import ObjectStore
from shared.store.prefetch import Files


@dataclass(frozen=True)
class Assignment:
    """A long job in the hands of its owner.

    `store` refuses writes once another worker has taken over. `stopping` tells that the worker is to end, the run was
    cancelled or the lease is lost: the job keeps what it has and raises an error that may be retried.
    """

    store: FencedStore
    plan: Plan
    unit: str
    stopping: Callable[[], bool]


Job = Callable[[Assignment], None]
Intact = Callable[[ObjectStore, Plan, str], bool]
"""Whether a finished unit's output is whole; asked when a message comes again."""

_Way = Callable[[ObjectStore, Plan, Unit, Broker, Callable[[], bool]], None]


def shard_task(app: Celery, way: ShardStage) -> None:  # type: ignore[type-arg]
    """Makes a service's work on a film the task of its stage."""

    def work_and_count(files: Files, plan: Plan, what: Any) -> list[Variant]:
        variants: list[Variant] = way.work(files, plan, what)
        metrics.FILMS.labels(way.stage).inc()
        return variants

    metrics.FILMS.labels(way.stage)
    metrics.FILMS_SET_ASIDE.labels(way.stage)
    counting = replace(way, work=work_and_count)

    def do(store: ObjectStore, plan: Plan, unit: Unit, broker: Broker, _stopping: Callable[[], bool]) -> None:
        aside = do_shard(counting, store, plan, unit.name, broker, settings(WorkerSettings).task_retries + 1)
        pipeline.set_aside(store, plan, unit.name, aside)
        metrics.FILMS_SET_ASIDE.labels(way.stage).inc(len(aside))

    def intact(store: ObjectStore, plan: Plan, name: str) -> bool:
        return is_intact(way, store, plan, name)

    _register(app, way.stage, do, intact)


def job_task(app: Celery, stage: Stage, intact: Intact) -> Callable[[Job], Job]:
    """Makes a service's function the task of a stage of long jobs; the function itself stays callable as it is."""

    def register(job: Job) -> Job:
        def do(store: ObjectStore, plan: Plan, unit: Unit, _broker: Broker, stopping: Callable[[], bool]) -> None:
            _do_job(job, store, plan, unit, stopping)

        _register(app, stage, do, intact)
        return job

    return register


def _register(app: Celery, stage: Stage, do: _Way, intact: Intact) -> None:
    def carry_out(store: ObjectStore, broker: Broker, message: Message) -> str:
        return _carry_out(store, broker, stage, do, intact, message)

    def give_up(store: ObjectStore, _broker: Broker, message: Message, error: Exception) -> str:
        return pipeline.give_up(store, message.run, stage, message.unit, error).message

    unit_task(app, Work(stage, carry_out, give_up))


def _carry_out(store: ObjectStore, broker: Broker, stage: Stage, do: _Way, intact: Intact, message: Message) -> str:
    plan = read_plan(store, message.run)
    unit = plan.find(stage, message.unit)
    if pipeline.is_cancelled(store, plan.run):
        return "cancelled"
    with holding(broker, unit.done_key, lambda: pipeline.is_cancelled(store, plan.run)) as stopping:
        skipped = store.exists(unit.done_key) and intact(store, plan, unit.name)
        if not skipped:
            do(store, plan, unit, broker, stopping)
        pipeline.advance(store, broker, plan, stage, unit.name)
    return "skipped" if skipped else "done"


def _do_job(job: Job, store: ObjectStore, plan: Plan, unit: Unit, stopping: Callable[[], bool]) -> None:
    with claimed(store, layout.claim(plan.run, unit.stage, unit.name), unit.done_key) as fenced:
        if fenced.claim.deaths > settings(WorkerSettings).task_retries:
            raise WorkerLost(
                f"{fenced.claim.deaths} workers died while they did this: out of memory, or a crash; see their logs"
            )
        metrics.TRAIN_PROGRESS.labels(unit.stage).set_to_current_time()
        job(Assignment(fenced, plan, unit.name, stopping))
