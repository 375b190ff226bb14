"""The flow of a batch: progress from the store alone, an end that is written once, resuming, cancelling."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.api.batches import Batch, BatchLine, BatchRequest, ImageProblem
from shared.batches import flow
from shared.batches.flow import BatchEnded
from shared.batches.plan import BatchPlan, IdempotencyConflict, batch_id, check_each_once, make_batch, read_images
from shared.errors import InputError, QueueUnavailable
from shared.store import layout
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.memory_queue import MemoryQueue


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


def planned(store: ObjectStore, images: int = 40, owner: str = "clinic") -> BatchPlan:
    """Three parts: 16, 16 and 8 images."""
    asked = BatchRequest(keys=tuple(f"inbox/{number}.pgm" for number in range(images)))
    return make_batch(
        store, batch_id(owner, None), asked, "inbox/", owner=owner, network="resnet50", version="v1"
    )  # fmt: skip


def begun(store: ObjectStore, queue: MemoryQueue, images: int = 40) -> BatchPlan:
    plan = planned(store, images)
    flow.begin(store, queue, plan)
    return plan


def answers(store: ObjectStore, plan: BatchPlan, part: str, failed: int = 0) -> bytes:
    """Of the images of a part the first `failed` have a problem."""
    problem = ImageProblem(code="undecodable-image", detail="damaged")
    lines = [
        BatchLine(index=index, key=key, problem=problem if place < failed else None)
        for place, (index, key) in enumerate(read_images(store, plan, part))
    ]
    return b"".join(line.model_dump_json().encode() + b"\n" for line in lines)


def finish(store: ObjectStore, queue: MemoryQueue, plan: BatchPlan, part: str, document: bytes) -> bool:
    stored = flow.store_results(store, plan, part, document)
    flow.mark_part(store, queue, plan, part)
    return stored


def do(store: ObjectStore, queue: MemoryQueue, plan: BatchPlan, *parts: str, failed: int = 0) -> None:
    for part in parts:
        finish(store, queue, plan, part, answers(store, plan, part, failed))


def state(store: ObjectStore, plan: BatchPlan) -> tuple[str, int, int]:
    found: Batch = flow.describe(store, plan)
    return found.state, found.done, found.failed


class TestDescribe:
    def test_a_batch_is_enqueued_part_by_part(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue)
        assert queue.taken() == [("predict", part) for part in ("000000", "000001", "000002")]
        assert state(store, plan) == ("queued", 0, 0)

    def test_progress_counts_images_with_and_without_a_finding(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue)
        do(store, queue, plan, "000001", failed=3)
        assert state(store, plan) == ("running", 16, 3)
        do(store, queue, plan, "000002", failed=8)
        assert state(store, plan) == ("running", 24, 11)
        do(store, queue, plan, "000000")
        found = flow.describe(store, plan)
        assert (found.state, found.images, found.done, found.failed) == ("done", 40, 40, 11)
        assert found.ended is not None
        assert datetime.fromisoformat(found.ended) >= datetime.fromisoformat(found.created)

    def test_progress_reads_no_answers(
        self, store: DirectoryStore, queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan, read, get = begun(store, queue), list[str](), store.get
        do(store, queue, plan, "000000", "000001")

        def noted(key: str) -> bytes:
            read.append(key)
            return get(key)

        monkeypatch.setattr(store, "get", noted)
        assert state(store, plan) == ("running", 32, 0)
        assert read == [layout.batch_end(plan.batch)]


class TestHasEnded:
    def test_the_last_part_writes_the_end_with_its_counts(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue)
        do(store, queue, plan, "000000", "000001", failed=1)
        assert not flow.has_ended(store, plan)
        do(store, queue, plan, "000002")
        end = json.loads(store.get(layout.batch_end(plan.batch)))
        assert (end["state"], end["done"], end["failed"]) == ("done", 40, 2)


class TestStoreResults:
    def test_heat_maps_of_answers_that_came_too_late_are_removed(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan, named = begun(store, queue, images=2), {}
        for worker in ("first", "second"):
            heatmaps = [
                layout.batch_heatmap(plan.batch, 0, "of both"),
                layout.batch_heatmap(plan.batch, 1, f"of the {worker}"),
            ]
            for key in heatmaps:
                store.put(key, b"")
            images = zip(read_images(store, plan, "000000"), heatmaps, strict=True)
            lines = [BatchLine(index=index, key=key, heatmap=heatmap) for (index, key), heatmap in images]
            document = b"".join(line.model_dump_json().encode() + b"\n" for line in lines)
            named[worker] = set(heatmaps)
            finish(store, queue, plan, "000000", document)
        assert set(store.list(f"batches/{plan.batch}/heatmaps/")) == named["first"]


class TestStoreAnswers:
    def test_a_worker_that_died_between_answers_and_mark_is_made_good(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, images=16)
        store.put(layout.batch_part(plan.batch, "000000"), answers(store, plan, "000000", failed=2))
        assert state(store, plan) == ("queued", 0, 0)
        assert list(flow.missing(store, plan)) == ["000000"]
        flow.mark_part(store, queue, plan, "000000")
        assert state(store, plan) == ("done", 16, 2)


class TestResume:
    def test_the_end_is_seen_where_nobody_lived_to_write_it(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue)
        do(store, queue, plan, "000000", "000001", "000002")
        store.delete(layout.batch_end(plan.batch))
        found = flow.describe(store, plan)
        assert found.state == "done"
        assert found.ended is not None
        assert flow.resume(store, queue, plan) == 0
        assert flow.has_ended(store, plan)


class TestReadResults:
    def test_a_part_that_is_done_twice_keeps_its_first_answers(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue)
        assert finish(store, queue, plan, "000000", answers(store, plan, "000000", failed=2))
        assert not finish(store, queue, plan, "000000", answers(store, plan, "000000", failed=5))
        assert state(store, plan) == ("running", 16, 2)
        assert b"".join(flow.read_results(store, plan)) == answers(store, plan, "000000", failed=2)

    def test_results_come_in_the_order_of_the_images(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue)
        do(store, queue, plan, "000002", "000000")
        lines = [json.loads(line) for line in b"".join(flow.read_results(store, plan)).splitlines()]
        assert [line["index"] for line in lines] == [*range(16), *range(32, 40)]


class TestLostBroker:
    def test_a_broker_that_is_away_leaves_a_batch_that_can_be_resumed(self, store: DirectoryStore) -> None:
        plan, broken = planned(store), MemoryQueue(breaks_after=1)
        with pytest.raises(QueueUnavailable, match=f"then `mammo batch resume {plan.batch}`; the batch is stored"):
            flow.begin(store, broken, plan)
        assert state(store, plan) == ("queued", 0, 0)
        assert flow.list_batches(store, "clinic", 10) == [plan.batch]
        do(store, broken, plan, "000000")
        assert flow.resume(store, broken, plan) == 2
        assert broken.taken()[-2:] == [("predict", "000001"), ("predict", "000002")]

    def test_beginning_again_enqueues_what_was_not_and_nothing_else(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan, broken = planned(store), MemoryQueue(breaks_after=0)
        with pytest.raises(QueueUnavailable):
            flow.begin(store, broken, plan)
        flow.begin(store, queue, plan)
        assert len(queue.taken()) == 3
        flow.begin(store, queue, plan)
        assert queue.taken() == []

    def test_a_lost_tally_is_counted_anew(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue)
        do(store, queue, plan, "000000")
        lost = MemoryQueue()
        do(store, lost, plan, "000001")
        assert not flow.has_ended(store, plan)
        do(store, lost, plan, "000002")
        assert flow.has_ended(store, plan)

    def test_workers_that_are_faster_than_the_enqueuing_end_the_batch_all_the_same(self, store: DirectoryStore) -> None:
        plan, queue = planned(store), MemoryQueue()
        queue.worker = lambda _kind, part: do(store, queue, plan, part)
        flow.begin(store, queue, plan)
        assert state(store, plan) == ("done", 40, 0)
        assert flow.has_ended(store, plan)


class TestCancel:
    def test_a_cancelled_batch_keeps_what_is_done_and_stays_cancelled(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue)
        do(store, queue, plan, "000000", failed=1)
        flow.cancel(store, plan)
        assert state(store, plan) == ("cancelled", 16, 1)
        do(store, queue, plan, "000001", "000002")  # they were in hand
        assert state(store, plan) == ("cancelled", 40, 1)
        with pytest.raises(BatchEnded, match="is cancelled"):
            flow.resume(store, queue, plan)
        queue.taken()
        flow.begin(store, queue, plan)
        assert queue.taken() == []

    def test_a_batch_that_is_done_can_not_be_cancelled(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue)
        do(store, queue, plan, "000000", "000001", "000002")
        flow.cancel(store, plan)
        assert state(store, plan) == ("done", 40, 0)


class TestOwner:
    def test_an_owner_sees_its_own_batches_the_newest_first(
        self, store: DirectoryStore, queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = []
        for hour in range(5):
            plan = planned(store, 1).model_copy(update={"created": datetime(2026, 1, 1, hour, tzinfo=UTC).isoformat()})
            flow.begin(store, queue, plan)
            made.append(plan.batch)
        flow.begin(store, queue, planned(store, 1, owner="clinic-b"))
        assert flow.list_batches(store, "clinic", 10) == made[::-1]
        assert flow.list_batches(store, "clinic", 2) == made[:-3:-1]
        assert flow.list_batches(store, "nobody", 10) == []


def test_a_large_batch_holds_up_a_small_one_by_few_parts(store: DirectoryStore, queue: MemoryQueue) -> None:
    large = begun(store, queue, 16 * (flow.AT_ONCE + 3))
    small = begun(store, queue, 16)
    sent = [message.run for _, message in queue.messages]
    assert sent == [large.batch] * flow.AT_ONCE + [small.batch]
    queue.taken()
    parts = list(large.names())
    for part in parts:
        do(store, queue, large, part)
    assert queue.taken() == [("predict", part) for part in parts[flow.AT_ONCE :]]
    assert state(store, large) == ("done", large.images, 0)


def test_a_batch_whose_held_back_parts_were_lost_is_resumed(store: DirectoryStore, queue: MemoryQueue) -> None:
    plan = begun(store, queue, 16 * (flow.AT_ONCE + 2))
    parts = list(plan.names())
    queue.lose_everything()
    for part in parts[: flow.AT_ONCE]:
        do(store, queue, plan, part)
    assert queue.taken() == []
    assert flow.resume(store, queue, plan) == 2
    assert queue.taken() == [("predict", part) for part in parts[flow.AT_ONCE :]]


def test_all_batches_are_listed_the_newest_first_whoever_made_them(store: DirectoryStore, queue: MemoryQueue) -> None:
    made = []
    for second, owner in enumerate(("b", "a", "c", "a")):
        plan = planned(store, owner=owner).model_copy(update={"created": f"2026-01-01T00:00:0{second}.000+00:00"})
        flow.begin(store, queue, plan)
        made.append(plan.batch)
    assert flow.list_batches(store, None, 3) == made[:0:-1]
    assert flow.list_batches(store, "a", 3) == [made[3], made[1]]


def test_a_key_that_is_named_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"'inbox/1\.png' is there more than once"):
        check_each_once(BatchRequest(keys=("inbox/1.png",) * 1000))
    check_each_once(BatchRequest(keys=("inbox/1.png", "inbox/2.png")))
    check_each_once(BatchRequest(prefix="inbox/"))


def test_a_new_batch_never_takes_the_results_of_one_whose_plan_was_removed(
    store: DirectoryStore, queue: MemoryQueue
) -> None:
    def make(images: int) -> BatchPlan:
        asked = BatchRequest(keys=tuple(f"inbox/{images}-{number}.pgm" for number in range(images)))
        batch = batch_id("clinic", "order-17")
        return make_batch(store, batch, asked, "inbox/", owner="clinic", network="resnet50", version="v1")

    plan = make(32)
    flow.begin(store, queue, plan)
    do(store, queue, plan, "000000")
    store.delete(layout.batch_plan(plan.batch))
    with pytest.raises(IdempotencyConflict, match="results are left"):
        make(48)
