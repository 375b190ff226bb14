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
from shared.runs.shards import ShardStage, is_intact, process_shard
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

    Attributes:
        store: refuses writes once another worker has taken over.
        stopping: returns True when the worker ends, the run was cancelled or the lease is lost; the job then stores its
            progress and raises a retryable error.
    """

    store: FencedStore
    plan: Plan
    unit: str
    stopping: Callable[[], bool]


class StageTask(UnitTask[PlannedUnit]):
    """Units of one stage of a run."""

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
    """Shards of a stage, processed film by film; films that fail repeatedly are set aside.

    Args:
        stage: definition of the stage.
        retries: number of retries of a film that fails.
    """

    def __init__(self, stage: ShardStage[Any], retries: int) -> None:
        super().__init__(stage.stage)
        self._retries = retries
        self._shard_stage = replace(stage, process=self._process_and_count)
        self._process = stage.process
        metrics.FILMS.labels(stage.stage)
        metrics.FILMS_SET_ASIDE.labels(stage.stage)

    def is_done(self, store: ObjectStore, unit: PlannedUnit) -> bool:
        return super().is_done(store, unit) and is_intact(self._shard_stage, store, unit.plan, unit.unit.name)

    def execute(self, store: ObjectStore, broker: Broker, unit: PlannedUnit, _stopping: Callable[[], bool]) -> None:
        plan, shard = unit.plan, unit.unit.name
        aside = process_shard(self._shard_stage, store, plan, shard, broker, self._retries + 1)
        pipeline.set_aside(store, plan, shard, aside)
        metrics.FILMS_SET_ASIDE.labels(self.stage).inc(len(aside))

    def _process_and_count(self, files: ObjectAccess, plan: Plan, film: Any) -> list[Variant]:
        variants = self._process(files, plan, film)
        metrics.FILMS.labels(self.stage).inc()
        return variants


class JobTask(StageTask):
    """Long jobs of a stage, each claimed, so that a superseded worker can't write results.

    Args:
        stage: stage of the jobs.
        job: does one job.
        is_intact: returns True if the output of a finished unit, given by its name, is intact.
        retries: number of retries of a job whose worker died.
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
                    f"{fenced.claim.deaths} workers died in this job: out of memory, or a crash; see their logs"
                )
            metrics.TRAIN_PROGRESS.labels(self.stage).set_to_current_time()
            self._job(ClaimedJob(fenced, plan, name, stopping))
