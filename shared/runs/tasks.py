"""The stages of a run as tasks of a worker: shards of films, and long jobs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from shared import metrics
from shared.domain.films import Variant
from shared.queue.attempts import WorkerLost
from shared.queue.broker import Broker
from shared.queue.claim import FencedStore, claimed
from shared.queue.messages import Message, Stage
from shared.queue.unit_task import UnitTask
from shared.runs import pipeline
from shared.runs.plan import Plan, Unit, read_plan
from shared.runs.shards import ShardStage, do_shard, is_intact
from shared.runs.sources import check_same_films, stale_units
from shared.store import layout
from shared.store.interface import ObjectStore
from shared.store.prefetch import ObjectAccess


class PlannedUnit(NamedTuple):
    """A unit with the plan of its run."""

    plan: Plan
    unit: Unit


@dataclass(frozen=True)
class ClaimedJob:
    """A long job that this worker owns.

    `store` refuses writes once another worker has taken over. `stopping` returns true when the worker is to end, the
    run was cancelled or the lease is lost: the job keeps what it has and raises an error that may be retried.
    """

    store: FencedStore
    plan: Plan
    unit: str
    stopping: Callable[[], bool]


class StageTask(UnitTask[PlannedUnit]):
    """Do the units of one stage of a run; the stage is told complete by `pipeline.advance`."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.stage = stage

    def load(self, store: ObjectStore, message: Message) -> PlannedUnit:
        plan = read_plan(store, message.run)
        check_same_films(store, plan)
        return PlannedUnit(plan, plan.find(self.stage, message.unit))

    def done_key(self, unit: PlannedUnit) -> str:
        return unit.unit.done_key

    def is_cancelled(self, store: ObjectStore, unit: PlannedUnit) -> bool:
        return pipeline.is_cancelled(store, unit.plan.run)

    def advance(self, store: ObjectStore, broker: Broker, unit: PlannedUnit) -> None:
        pipeline.advance(store, broker, unit.plan, self.stage, unit.unit.name)

    def on_failure(self, store: ObjectStore, _broker: Broker, message: Message, error: Exception) -> str:
        return pipeline.give_up(store, message.run, self.stage, message.unit, error).message


class ShardTask(StageTask):
    """Do the shards of a stage film by film; films that fail every time are set aside.

    Args:
        retries: of a film that fails.
    """

    def __init__(self, way: ShardStage[Any], retries: int) -> None:
        super().__init__(way.stage)
        self._retries = retries
        self._way = replace(way, work=self._work_and_count)
        self._work = way.work
        metrics.FILMS.labels(way.stage)
        metrics.FILMS_SET_ASIDE.labels(way.stage)

    def is_done(self, store: ObjectStore, unit: PlannedUnit) -> bool:
        return super().is_done(store, unit) and is_intact(self._way, store, unit.plan, unit.unit.name)

    def execute(self, store: ObjectStore, broker: Broker, unit: PlannedUnit, _stopping: Callable[[], bool]) -> None:
        plan, shard = unit.plan, unit.unit.name
        aside = do_shard(self._way, store, plan, shard, broker, self._retries + 1)
        pipeline.set_aside(store, plan, shard, aside)
        metrics.FILMS_SET_ASIDE.labels(self.stage).inc(len(aside))

    def _work_and_count(self, files: ObjectAccess, plan: Plan, film: Any) -> list[Variant]:
        variants = self._work(files, plan, film)
        metrics.FILMS.labels(self.stage).inc()
        return variants


class JobTask(StageTask):
    """Do the long jobs of a stage, each claimed so that a worker that was taken over can write nothing.

    Args:
        job: the service's own function.
        is_intact: whether the output of a finished unit, given by its name, is whole.
        retries: of a job whose workers died.
    """

    def __init__(
        self,
        stage: Stage,
        job: Callable[[ClaimedJob], None],
        is_intact: Callable[[ObjectStore, Plan, str], bool],
        retries: int,
    ) -> None:
        super().__init__(stage)
        self._retries = retries
        self._job, self._is_intact = job, is_intact

    def is_done(self, store: ObjectStore, unit: PlannedUnit) -> bool:
        if not super().is_done(store, unit) or any(stale_units(store, unit.plan, self.stage, [unit.unit])):
            return False
        return self._is_intact(store, unit.plan, unit.unit.name)

    def execute(self, store: ObjectStore, _broker: Broker, unit: PlannedUnit, stopping: Callable[[], bool]) -> None:
        plan, name = unit.plan, unit.unit.name
        with claimed(store, layout.claim(plan.run, self.stage, name), unit.unit.done_key) as fenced:
            if fenced.claim.deaths > self._retries:
                raise WorkerLost(
                    f"{fenced.claim.deaths} workers died while they did this: out of memory, or a crash; see their logs"
                )
            metrics.TRAIN_PROGRESS.labels(self.stage).set_to_current_time()
            self._job(ClaimedJob(fenced, plan, name, stopping))
