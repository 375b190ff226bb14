"""The stages of a run as tasks: when a unit is done, and when a job's workers have died too often."""

from pathlib import Path

import pytest

from shared.errors import PlanError
from shared.queue.attempts import WorkerLost
from shared.queue.claim import claimed
from shared.queue.messages import Message
from shared.runs import pipeline
from shared.runs.plan import Plan
from shared.runs.tasks import ClaimedJob, JobTask, PlannedUnit, ShardTask
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support import tiny_stages
from tests.support.builders import Tries, small_plan
from tests.support.memory_queue import MemoryQueue, begun, do

JOB = "resnet50/patient/fold-0"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def plan(store: DirectoryStore) -> Plan:
    return begun(store, MemoryQueue(), tiny_stages.stored(store, small_plan()))


def shard_task() -> ShardTask:
    return ShardTask(tiny_stages.AUGMENT, retries=2)


def never() -> bool:
    return False


class TestStageTask:
    def test_a_unit_is_that_of_the_plan(self, store: DirectoryStore, plan: Plan) -> None:
        found = shard_task().load(store, Message(run=plan.run, unit="000001"))
        assert found.plan == plan
        assert shard_task().done_key(found) == plan.done_key("augment", "000001")

    def test_a_unit_that_the_plan_does_not_have_is_refused(self, store: DirectoryStore, plan: Plan) -> None:
        with pytest.raises(PlanError):
            shard_task().load(store, Message(run=plan.run, unit="999999"))

    def test_it_is_cancelled_with_its_run(self, store: DirectoryStore, plan: Plan) -> None:
        unit = shard_task().load(store, Message(run=plan.run, unit="000000"))
        assert not shard_task().is_cancelled(store, unit)
        pipeline.cancel(store, plan.run)
        assert shard_task().is_cancelled(store, unit)


class TestShardTask:
    def test_a_shard_is_done_once_executed_and_while_it_is_whole(self, store: DirectoryStore, plan: Plan) -> None:
        task = shard_task()
        unit = task.load(store, Message(run=plan.run, unit="000000"))
        assert not task.is_done(store, unit)
        task.execute(store, Tries(), unit, never)
        assert task.is_done(store, unit)
        store.delete(tiny_stages.shard_of(store, tiny_stages.AUGMENT, plan, "000000").variants[0].key)
        assert not task.is_done(store, unit)


class TestJobTask:
    @pytest.fixture
    def unit(self, store: DirectoryStore, plan: Plan) -> PlannedUnit:
        for stage in ("augment", "segment"):
            do(store, plan, stage)
        return JobTask("train", print, lambda *_: True, 2).load(store, Message(run=plan.run, unit=JOB))

    def test_the_job_gets_a_store_that_is_its_own_and_finishes_it(
        self, store: DirectoryStore, plan: Plan, unit: PlannedUnit
    ) -> None:
        done: list[ClaimedJob] = []

        def job(claimed_job: ClaimedJob) -> None:
            done.append(claimed_job)
            claimed_job.store.finish(b"{}")

        JobTask("train", job, lambda *_: True, 2).execute(store, MemoryQueue(), unit, never)
        assert (done[0].plan, done[0].unit, done[0].stopping()) == (plan, JOB, False)
        assert store.get(plan.done_key("train", JOB)) == b"{}"

    @pytest.mark.parametrize(("deaths", "is_lost"), [(2, False), (3, True)])
    def test_after_too_many_deaths_of_workers_it_is_given_up(
        self, store: DirectoryStore, plan: Plan, unit: PlannedUnit, deaths: int, is_lost: bool
    ) -> None:
        key = layout.claim(plan.run, "train", JOB)
        with claimed(store, key, unit.unit.done_key) as fenced:
            claim = fenced.claim
        store.put(key, claim.model_copy(update={"deaths": deaths - 1, "released": False}).model_dump_json().encode())
        done: list[ClaimedJob] = []
        task = JobTask("train", done.append, lambda *_: True, 2)
        if is_lost:
            with pytest.raises(WorkerLost, match="3 workers died in this job"):
                task.execute(store, MemoryQueue(), unit, never)
        else:
            task.execute(store, MemoryQueue(), unit, never)
        assert bool(done) is not is_lost
