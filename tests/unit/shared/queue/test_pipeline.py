"""The flow of a run over a real store: what is enqueued when, by whom, and what the store tells of it."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from shared.errors import PlanError, PreconditionFailed, QueueUnavailable, RunNotFound, StoreUnavailable
from shared.queue import pipeline
from shared.queue.messages import Message
from shared.queue.pipeline import JobProgress
from shared.queue.plan import STAGES, Plan, Stage, read_plan
from shared.store import keys
from shared.store.objects import DirectoryStore, ObjectStore
from tests.builders import small_plan

Sent = list[tuple[Stage, str]]


class Queue:
    """Takes messages and keeps them; the first `broken` times it can't be reached."""

    def __init__(self, broken: int = 0) -> None:
        self.messages: list[tuple[Stage, Message]] = []
        self.broken = broken

    def __call__(self, stage: Stage, message: Message) -> None:
        if self.broken:
            self.broken -= 1
            raise QueueUnavailable("the broker is away")
        self.messages.append((stage, message))

    def taken(self) -> Sent:
        """What was enqueued since the last time."""
        sent = [(stage, message.unit) for stage, message in self.messages]
        self.messages = []
        return sent


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def queue() -> Queue:
    return Queue()


def everything(plan: Plan, stage: Stage) -> Sent:
    return [(stage, unit.name) for unit in plan.units(stage)]


def do(store: ObjectStore, plan: Plan, stage: Stage, names: Sequence[str] | None = None) -> None:
    """Finishes units of a stage, all of them unless they are named."""
    for unit in plan.units(stage):
        if names is None or unit.name in names:
            store.put(unit.done_key, b"done")


def begun(store: ObjectStore, queue: Queue, plan: Plan, *finished: Stage) -> Plan:
    """A run that was started and whose first stages are finished; the queue is empty."""
    pipeline.start(store, queue, plan)
    for stage in finished:
        do(store, plan, stage)
        pipeline.advance(store, queue, plan, stage)
    queue.taken()
    return plan


# ---- start -----------------------------------------------------------------------------------------------------------


def test_start_stores_the_plan_and_enqueues_the_first_stage_alone(store: DirectoryStore, queue: Queue) -> None:
    plan = small_plan(20)
    pipeline.start(store, queue, plan)
    assert {message.run for _, message in queue.messages} == {plan.run}
    assert queue.taken() == [("augment", "000000"), ("augment", "000001"), ("augment", "000002")]
    assert read_plan(store, plan.run) == plan


def test_the_plan_is_stored_before_anything_is_enqueued(store: DirectoryStore) -> None:
    plan = small_plan()
    with pytest.raises(QueueUnavailable):
        pipeline.start(store, Queue(broken=1), plan)
    queue = Queue()
    assert pipeline.resume(store, queue, plan.run) == 2
    assert queue.taken() == everything(plan, "augment")


def test_a_plan_that_can_not_be_carried_out_leaves_no_trace(store: DirectoryStore, queue: Queue) -> None:
    with pytest.raises(PlanError):
        pipeline.start(store, queue, small_plan(promote=("alexnet",)))
    assert queue.taken() == []
    assert list(store.list("")) == []


def test_a_run_is_started_once(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan())
    with pytest.raises(PreconditionFailed):
        pipeline.start(store, queue, plan)
    assert queue.taken() == []


@pytest.mark.parametrize(
    ("finished", "expected"),
    [
        (["000000"], [("augment", "000001"), ("augment", "000002")]),
        (["000000", "000001", "000002"], [("segment", "000000"), ("segment", "000001"), ("segment", "000002")]),
    ],
)
def test_a_second_run_over_the_same_films_skips_what_the_first_has_done(
    store: DirectoryStore, queue: Queue, finished: list[str], expected: Sent
) -> None:
    do(store, begun(store, queue, small_plan(20, run="first")), "augment", finished)
    pipeline.start(store, queue, small_plan(20, run="second"))
    assert queue.taken() == expected


def test_a_second_run_over_segmented_films_begins_with_training(store: DirectoryStore, queue: Queue) -> None:
    begun(store, queue, small_plan(run="first"), "augment", "segment")
    second = small_plan(run="second")
    pipeline.start(store, queue, second)
    assert queue.taken() == everything(second, "train")


# ---- advance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "following"), list(pairwise(STAGES)))
def test_the_last_unit_of_a_stage_enqueues_the_next_stage_once(
    store: DirectoryStore, queue: Queue, stage: Stage, following: Stage
) -> None:
    plan = begun(store, queue, small_plan(), *STAGES[: STAGES.index(stage)])
    do(store, plan, stage)
    pipeline.advance(store, queue, plan, stage)
    assert queue.taken() == everything(plan, following)
    pipeline.advance(store, queue, plan, stage)
    assert queue.taken() == []


def test_a_stage_with_a_missing_unit_is_not_left(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan(20))
    do(store, plan, "augment", ["000000", "000002"])
    pipeline.advance(store, queue, plan, "augment")
    assert queue.taken() == []


def test_after_the_last_stage_nothing_is_enqueued(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan(), *STAGES)
    assert pipeline.status(store, plan.run).state == "finished"
    pipeline.advance(store, queue, plan, "promote")
    assert queue.taken() == []


def test_eight_workers_that_finish_at_once_enqueue_the_next_stage_once(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan(64))
    do(store, plan, "augment")
    together = threading.Barrier(8)

    def finish(_: int) -> None:
        together.wait()
        pipeline.advance(store, queue, plan, "augment")

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(finish, range(8)))
    assert queue.taken() == everything(plan, "segment")


def test_a_stage_that_another_run_has_done_is_stepped_over(store: DirectoryStore, queue: Queue) -> None:
    first, second = small_plan(run="first"), small_plan(run="second")
    begun(store, queue, first)
    begun(store, queue, second)
    do(store, first, "augment")
    do(store, first, "segment")
    pipeline.advance(store, queue, second, "augment")
    assert queue.taken() == everything(second, "train")


def test_a_stage_without_work_is_stepped_over(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan(promote=()), *STAGES[:4])
    do(store, plan, "publish")
    pipeline.advance(store, queue, plan, "publish")
    assert queue.taken() == []
    assert pipeline.status(store, plan.run).state == "finished"


@pytest.mark.parametrize("sent_before", [0, 1])
def test_a_broker_that_was_away_gets_the_next_stage_at_the_next_try(store: DirectoryStore, sent_before: int) -> None:
    plan = begun(store, Queue(), small_plan())
    do(store, plan, "augment")

    queue = Queue()

    def unreliable(stage: Stage, message: Message) -> None:
        if len(queue.messages) == sent_before:
            raise QueueUnavailable("the broker is away")
        queue(stage, message)

    with pytest.raises(QueueUnavailable):
        pipeline.advance(store, unreliable, plan, "augment")
    pipeline.advance(store, queue, plan, "augment")  # the worker tries its unit again
    assert set(everything(plan, "segment")) == set(queue.taken())


# ---- resume ----------------------------------------------------------------------------------------------------------


def test_resume_enqueues_what_is_missing_and_nothing_else(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan(32), "augment")
    do(store, plan, "segment", ["000001", "000002"])
    assert pipeline.resume(store, queue, plan.run) == 2
    assert queue.taken() == [("segment", "000000"), ("segment", "000003")]


@pytest.mark.parametrize("lost", STAGES)
def test_whatever_stage_the_queue_was_lost_in_a_resumed_run_ends(
    store: DirectoryStore, queue: Queue, lost: Stage
) -> None:
    place = STAGES.index(lost)
    plan = begun(store, queue, small_plan(), *STAGES[:place])
    pipeline.resume(store, queue, plan.run)
    for stage in STAGES[place:]:
        assert queue.taken() == everything(plan, stage)
        do(store, plan, stage)
        pipeline.advance(store, queue, plan, stage)
    assert pipeline.status(store, plan.run).state == "finished"


def test_a_stage_that_was_marked_but_never_enqueued_is_enqueued(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan())
    do(store, plan, "augment")
    store.put(keys.stage_marker(plan.run, "augment"), b"the worker died right after this")
    assert pipeline.resume(store, queue, plan.run) == 2
    assert queue.taken() == everything(plan, "segment")


def test_films_that_were_deleted_are_made_again_and_the_run_goes_on(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan(), "augment", "segment")
    store.delete(plan.units("augment")[1].done_key)
    assert pipeline.resume(store, queue, plan.run) == 1
    assert queue.taken() == [("augment", "000001")]
    do(store, plan, "augment")
    pipeline.advance(store, queue, plan, "augment")
    assert queue.taken() == everything(plan, "train")


def test_resume_forgets_the_failures_of_its_run_alone(store: DirectoryStore, queue: Queue) -> None:
    plans = [begun(store, queue, small_plan(run=run)) for run in ("one", "other")]
    for plan in plans:
        pipeline.give_up(store, plan, "augment", "000000", ValueError("broken"))
    pipeline.resume(store, queue, "one")
    assert pipeline.status(store, "one").state == "running"
    assert pipeline.status(store, "other").state == "failed"


def test_resuming_a_finished_run_enqueues_nothing_and_changes_nothing(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan(), *STAGES)
    before = list(store.list(""))
    assert pipeline.resume(store, queue, plan.run) == 0
    assert queue.taken() == []
    assert list(store.list("")) == before


# ---- failures and status ---------------------------------------------------------------------------------------------


def counts(store: ObjectStore, plan: Plan) -> dict[Stage, tuple[int, int, int]]:
    return {stage.stage: (stage.done, stage.failed, stage.units) for stage in pipeline.status(store, plan.run).stages}


def test_status_counts_units_and_films_of_every_stage(store: DirectoryStore, queue: Queue) -> None:
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
    augment, segment, train, *_ = pipeline.status(store, plan.run).stages
    assert (augment.films_done, augment.films) == (20, 20)
    assert (segment.films_done, segment.films) == (16, 20)
    assert (train.films_done, train.films) == (0, 0)


def test_a_run_is_running_then_failed_then_running_again_then_finished(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan())
    assert pipeline.status(store, plan.run).state == "running"
    pipeline.give_up(store, plan, "augment", "000001", StoreUnavailable("away"))
    assert pipeline.status(store, plan.run).state == "failed"
    pipeline.resume(store, queue, plan.run)
    assert pipeline.status(store, plan.run).state == "running"
    for stage in STAGES:
        do(store, plan, stage)
    assert pipeline.status(store, plan.run).state == "finished"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (StoreUnavailable("the store is away"), "store-unavailable", "the store is away"),
        (ZeroDivisionError("division by zero"), "internal", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_was_given_up_is_told_with_its_reason(
    store: DirectoryStore, queue: Queue, error: Exception, code: str, message: str
) -> None:
    plan = begun(store, queue, small_plan(), "augment", "segment")
    failure = pipeline.give_up(store, plan, "train", "resnet50/patient/fold-1", error)
    assert (failure.unit, failure.code, failure.message) == ("resnet50/patient/fold-1", code, message)
    assert pipeline.status(store, plan.run).failures == (failure,)
    assert counts(store, plan)["train"] == (0, 1, 3)


def test_training_jobs_show_how_far_they_are_until_they_are_done(store: DirectoryStore, queue: Queue) -> None:
    plan = begun(store, queue, small_plan(), "augment", "segment")
    progress = JobProgress(epoch=2, epochs=5, images_per_second=80.0, train_loss=0.9, validation_loss=1.0)
    for unit in ("resnet50/patient/fold-0", "resnet50/patient/fold-1"):
        store.put(keys.fold_file(plan.run, unit, "progress.json"), progress.model_dump_json().encode())
    do(store, plan, "train", ["resnet50/patient/fold-0"])
    status = pipeline.status(store, plan.run)
    assert status.jobs == {"resnet50/patient/fold-1": progress}
    assert status.finished_jobs == {"resnet50/patient/fold-0"}


def test_an_unknown_run_has_no_status_and_is_not_resumed(store: DirectoryStore, queue: Queue) -> None:
    with pytest.raises(RunNotFound):
        pipeline.status(store, "unknown")
    with pytest.raises(RunNotFound):
        pipeline.resume(store, queue, "unknown")


def test_runs_are_listed_the_oldest_first(store: DirectoryStore, queue: Queue) -> None:
    assert pipeline.list_runs(store) == []
    for run in ("20240602-000000-aaaa", "20240601-000000-bbbb"):
        begun(store, queue, small_plan(run=run), *STAGES)
    assert pipeline.list_runs(store) == ["20240601-000000-bbbb", "20240602-000000-aaaa"]


def test_a_run_that_the_broker_did_not_take_is_kept_and_named(store: DirectoryStore) -> None:
    plan, queue = small_plan(), Queue(broken=1)
    with pytest.raises(QueueUnavailable, match=f"mammo resume {plan.run}"):
        pipeline.start(store, queue, plan)
    assert pipeline.resume(store, queue, plan.run) == 2
    assert queue.taken() == everything(plan, "augment")
