"""Where a run stands: what is done, set aside and given up, how fast it goes, and what the broker holds."""

import os
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.errors import QueueUnavailable, RunNotFound, StoreUnavailable
from shared.local.broker import free_port
from shared.queue.broker import Broker
from shared.queue.messages import STAGES, QueueDepth, Stage
from shared.runs import pipeline
from shared.runs.plan import Plan
from shared.runs.status import JobProgress, StageStatus, read_status
from shared.settings import BrokerSettings
from shared.store import layout
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.builders import small_plan
from tests.support.memory_queue import MemoryQueue, begun, do, finish, set_aside


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


def stage_of(store: ObjectStore, plan: Plan, stage: Stage) -> StageStatus:
    return next(status for status in read_status(store, plan.run).stages if status.stage == stage)


def counts(store: ObjectStore, plan: Plan) -> dict[Stage, tuple[int, int, int]]:
    return {stage.stage: (stage.done, stage.failed, stage.units) for stage in read_status(store, plan.run).stages}


def done_before(store: DirectoryStore, plan: Plan, stage: Stage, seconds: dict[str, float]) -> None:
    """Units of a stage that were done so many seconds ago."""
    do(store, plan, stage, list(seconds))
    for name, ago in seconds.items():
        os.utime(store.root / plan.done_key(stage, name), (time.time() - ago,) * 2)


def job(store: ObjectStore, plan: Plan, name: str, epoch: int = 2, seconds: float = 4.0) -> JobProgress:
    """A training job that has ended so many epochs."""
    progress = JobProgress(
        epoch=epoch, epochs=5, images_per_second=80.0, seconds_per_epoch=seconds, train_loss=0.9, validation_loss=1.0
    )
    store.put(layout.fold_file(plan.run, name, "progress.json"), progress.model_dump_json().encode())
    return progress


class TestCounts:
    def test_status_counts_units_and_films_of_every_stage(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(20), "augment")
        do(store, plan, "segment", ["000000", "000001"])
        assert counts(store, plan) == {
            "augment": (3, 0, 3),
            "segment": (2, 0, 3),
            "train": (0, 0, 3),
            "evaluate": (0, 0, 1),
            "publish": (0, 0, 1),
            "promote": (0, 0, 1),
        }
        augment, segment, train, *_ = read_status(store, plan.run).stages
        assert (augment.films_done, augment.films) == (20, 20)
        assert (segment.films_done, segment.films) == (16, 20)
        assert (train.films_done, train.films) == (0, 0)

    def test_status_names_the_run_and_its_data_set(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan())
        status = read_status(store, plan.run)
        assert (status.run, status.dataset, status.synthetic) == (plan.run, "small", True)

    def test_what_lies_beside_the_units_of_a_stage_is_not_counted(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(), "augment", "segment")
        store.put(layout.fold_file(plan.run, "resnet50/patient/fold-0", "checkpoint.safetensors"), b"")
        store.put(layout.fold_file(plan.run, "alexnet/patient/fold-0", "result.json"), b"of no unit of this run")
        store.put(plan.done_key("augment", "000099"), b"of no unit of this run")
        assert counts(store, plan)["train"] == (0, 0, 3)
        assert counts(store, plan)["augment"] == (2, 0, 2)

    def test_an_unknown_run_has_no_status(self, store: DirectoryStore) -> None:
        with pytest.raises(RunNotFound):
            read_status(store, "unknown")

    def test_the_current_stage_is_the_first_that_is_not_complete(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan())
        for stage in STAGES:
            current = read_status(store, plan.run).current
            assert current is not None
            assert current.stage == stage
            finish(store, queue, plan, stage)
        assert read_status(store, plan.run).current is None


class TestState:
    def test_films_that_are_set_aside_are_missing_in_their_stage_and_in_those_after_it(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(20), "augment")
        set_aside(store, plan, "augment", "000000", "mdb001", "mdb002")
        set_aside(store, plan, "segment", "000001", "mdb009")
        do(store, plan, "segment", ["000000", "000001"])
        augment, segment, *_ = read_status(store, plan.run).stages
        assert (augment.set_aside, augment.films_done, augment.failed) == (2, 18, 0)
        assert (segment.set_aside, segment.films_done, segment.failed) == (3, 13, 0)
        assert read_status(store, plan.run).state == "running"

    def test_films_done_are_never_fewer_than_none(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(20))
        set_aside(store, plan, "augment", "000000", "mdb001")
        do(store, plan, "augment", ["000000"])
        assert stage_of(store, plan, "augment").films_done == 7
        assert stage_of(store, plan, "segment").films_done == 0
        store.delete(plan.done_key("augment", "000000"))
        assert stage_of(store, plan, "augment").films_done == 0

    def test_what_was_given_up_is_told_with_its_reason(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(), "augment", "segment")
        failure = pipeline.give_up(store, plan.run, "train", "resnet50/patient/fold-1", StoreUnavailable("away"))
        status = read_status(store, plan.run)
        assert status.failures == (failure,)
        assert counts(store, plan)["train"] == (0, 1, 3)
        assert status.state == "failed"

    def test_a_run_stands_still_when_all_that_is_left_was_given_up(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(24))
        pipeline.give_up(store, plan.run, "augment", "000001", ValueError("broken"))
        assert not read_status(store, plan.run).stands_still
        finish(store, queue, plan, "augment", ["000000", "000002"])
        assert read_status(store, plan.run).stands_still
        pipeline.resume(store, queue, plan.run)
        assert not read_status(store, plan.run).stands_still

    def test_a_run_is_running_then_failed_then_running_again_then_finished(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan())
        assert read_status(store, plan.run).state == "running"
        pipeline.give_up(store, plan.run, "augment", "000001", StoreUnavailable("away"))
        assert read_status(store, plan.run).state == "failed"
        pipeline.resume(store, queue, plan.run)
        assert read_status(store, plan.run).state == "running"
        for stage in STAGES:
            finish(store, queue, plan, stage)
        assert read_status(store, plan.run).state == "finished"

    def test_a_run_is_cancelled_until_it_is_resumed_and_what_is_finished_stays_finished(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan())
        pipeline.give_up(store, plan.run, "augment", "000001", StoreUnavailable("away"))
        pipeline.cancel(store, plan.run)
        assert read_status(store, plan.run).state == "cancelled"
        pipeline.resume(store, queue, plan.run)
        assert read_status(store, plan.run).state == "running"
        for stage in STAGES:
            finish(store, queue, plan, stage)
        pipeline.cancel(store, plan.run)
        assert read_status(store, plan.run).state == "finished"


class TestRate:
    def test_films_a_second_and_the_time_that_is_left_come_from_the_last_minute(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(8 * 10))
        done_before(store, plan, "augment", {"000000": 900.0, "000001": 40.0, "000002": 30.0, "000003": 10.0})
        augment = stage_of(store, plan, "augment")
        assert augment.rate == pytest.approx(3 * 8 / 40, rel=0.05)
        assert augment.left_s == pytest.approx(6 * 8 / (3 * 8 / 40), rel=0.05)

    @pytest.mark.parametrize(
        "seconds",
        [{}, {"000000": 5.0}, {"000000": 900.0, "000001": 800.0}, {"000000": 900.0, "000001": 5.0}],
        ids=["nothing", "one", "long ago", "one of late"],
    )
    def test_where_too_little_was_done_of_late_no_rate_is_told(
        self, store: DirectoryStore, queue: MemoryQueue, seconds: dict[str, float]
    ) -> None:
        plan = begun(store, queue, small_plan(80))
        done_before(store, plan, "augment", seconds)
        augment = stage_of(store, plan, "augment")
        assert (augment.rate, augment.left_s) == (None, None)

    def test_a_stage_that_is_complete_has_no_rate(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(24))
        done_before(store, plan, "augment", {"000000": 12.0, "000001": 8.0, "000002": 4.0})
        augment = stage_of(store, plan, "augment")
        assert (augment.rate, augment.left_s) == (None, None)


class TestTraining:
    def test_jobs_show_how_far_they_are_until_they_are_done(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(), "augment", "segment")
        job(store, plan, "resnet50/patient/fold-0")
        progress = job(store, plan, "resnet50/patient/fold-1")
        do(store, plan, "train", ["resnet50/patient/fold-0"])
        status = read_status(store, plan.run)
        assert status.jobs == {"resnet50/patient/fold-1": progress}
        assert status.finished_jobs == {"resnet50/patient/fold-0"}

    def test_the_epochs_that_are_left_of_all_jobs_take_as_long_as_those_before(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        recipe = small_plan().training["resnet50"].model_copy(update={"epochs": 5})
        plan = begun(store, queue, small_plan(training={"resnet50": recipe}), "augment", "segment")
        job(store, plan, "resnet50/patient/fold-0", epoch=2, seconds=4.0)
        train = stage_of(store, plan, "train")
        assert (train.rate, train.left_s) == (0.25, (3 + 5 + 5) * 4.0)
        job(store, plan, "resnet50/patient/fold-1", epoch=4, seconds=4.0)  # a second worker
        train = stage_of(store, plan, "train")
        assert (train.rate, train.left_s) == (0.5, (3 + 1 + 5) * 2.0)
        do(store, plan, "train", ["resnet50/patient/fold-0"])
        train = stage_of(store, plan, "train")
        assert (train.rate, train.left_s) == (0.25, (1 + 5) * 4.0)

    def test_before_the_first_epoch_nobody_knows_how_long_training_takes(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(), "augment", "segment")
        train = stage_of(store, plan, "train")
        assert (train.rate, train.left_s) == (None, None)


class TestBroker:
    def test_what_waits_and_what_is_in_hand_is_told_by_the_broker(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = small_plan(20)
        pipeline.start(store, queue, plan)
        depth = QueueDepth(waiting={"augment": 3, "gateway": 0, "inference": 0, "segment": 0, "train": 0}, in_hand=0)
        assert read_status(store, plan.run, queue).queue == depth
        assert read_status(store, plan.run).queue is None

    @pytest.mark.external
    def test_a_broker_that_is_away_hides_nothing_of_what_the_store_tells(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(20), "augment")
        nobody = Broker.open(BrokerSettings(redis_url=SecretStr(f"redis://127.0.0.1:{free_port()}/0")))
        with pytest.raises(QueueUnavailable):
            nobody.depth()
        assert read_status(store, plan.run, nobody) == read_status(store, plan.run)
