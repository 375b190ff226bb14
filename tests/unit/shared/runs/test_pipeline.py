"""The flow of a run over a real store: what is enqueued when and by whom, whatever is lost on the way."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from shared.errors import PlanError, PreconditionFailed, QueueUnavailable, RunNotFound, StoreUnavailable
from shared.queue.clock import now
from shared.queue.messages import STAGES, Stage
from shared.runs import pipeline
from shared.runs.pipeline import Failure, StageMarker
from shared.runs.plan import SHARDED, Plan, read_plan
from shared.store import layout
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.builders import small_plan
from tests.support.memory_queue import MemoryQueue, Sent, begun, do, everything, finish, set_aside
from tests.support.tiny_stages import SEGMENT, do_films, shard_of, stored


class CountingStore(DirectoryStore):
    """Counts how often each prefix is listed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.listed: Counter[str] = Counter()

    def list(self, prefix: str) -> Iterator[str]:
        self.listed[prefix] += 1
        return super().list(prefix)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


def is_finished(store: ObjectStore, plan: Plan) -> bool:
    return all(next(pipeline.missing_units(store, plan, stage), None) is None for stage in STAGES)


def marker(store: ObjectStore, plan: Plan, stage: Stage) -> StageMarker:
    return StageMarker.model_validate_json(store.get(layout.stage_marker(plan.run, stage)))


class TestStart:
    def test_stores_the_plan_and_enqueues_the_first_stage_alone(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = small_plan(20)
        pipeline.start(store, queue, plan)
        assert {message.run for _, message in queue.messages} == {plan.run}
        assert queue.taken() == [("augment", "000000"), ("augment", "000001"), ("augment", "000002")]
        assert read_plan(store, plan.run) == plan

    def test_the_plan_is_stored_before_anything_is_enqueued(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = small_plan()
        with pytest.raises(QueueUnavailable):
            pipeline.start(store, MemoryQueue(breaks_after=0), plan)
        assert pipeline.resume(store, queue, plan.run) == 2
        assert queue.taken() == everything(plan, "augment")

    def test_a_run_that_the_broker_did_not_take_is_kept_and_named(self, store: CountingStore) -> None:
        plan, queue = small_plan(), MemoryQueue(breaks_after=1)
        with pytest.raises(QueueUnavailable, match=f"mammo resume {plan.run}"):
            pipeline.start(store, queue, plan)
        queue.taken()
        assert pipeline.resume(store, queue, plan.run) == 2
        assert queue.taken() == everything(plan, "augment")

    def test_a_plan_that_can_not_be_carried_out_leaves_no_trace(self, store: CountingStore, queue: MemoryQueue) -> None:
        with pytest.raises(PlanError):
            pipeline.start(store, queue, small_plan(promote=("alexnet",)))
        assert queue.taken() == []
        assert list(store.list("")) == []

    def test_a_run_is_started_once(self, store: CountingStore, queue: MemoryQueue) -> None:
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
        self, store: CountingStore, queue: MemoryQueue, finished: list[str], expected: Sent
    ) -> None:
        do(store, begun(store, queue, small_plan(20, run="first")), "augment", finished)
        pipeline.start(store, queue, small_plan(20, run="second"))
        assert queue.taken() == expected

    def test_a_second_run_over_segmented_films_begins_with_training(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        begun(store, queue, small_plan(run="first"), "augment", "segment")
        second = small_plan(run="second")
        pipeline.start(store, queue, second)
        assert queue.taken() == everything(second, "train")


class TestAdvance:
    @pytest.mark.parametrize(("stage", "following"), list(pairwise(STAGES)))
    def test_the_last_unit_of_a_stage_enqueues_the_next_stage_once(
        self, store: CountingStore, queue: MemoryQueue, stage: Stage, following: Stage
    ) -> None:
        plan = begun(store, queue, small_plan(), *STAGES[: STAGES.index(stage)])
        finish(store, queue, plan, stage)
        assert queue.taken() == everything(plan, following)
        for name in plan.names(stage):  # every message comes once more
            pipeline.advance(store, queue, plan, stage, name)
        assert queue.taken() == []

    def test_a_stage_with_a_missing_unit_is_not_left(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(20))
        finish(store, queue, plan, "augment", ["000000", "000002"])
        assert queue.taken() == []

    def test_a_tally_that_says_that_nothing_is_left_is_not_believed(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(20))
        finish(store, queue, plan, "augment", ["000000"])
        for name in ("000001", "000002"):  # struck off, and gone from the store since
            pipeline.advance(store, queue, plan, "augment", name)
        assert queue.taken() == []

    def test_after_the_last_stage_nothing_is_enqueued(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(), *STAGES)
        assert is_finished(store, plan)
        pipeline.advance(store, queue, plan, "promote", "resnet50")
        assert queue.taken() == []

    def test_eight_workers_that_finish_at_once_enqueue_the_next_stage_once(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(64))
        do(store, plan, "augment")
        together = threading.Barrier(8)

        def end(name: str) -> None:
            together.wait()
            pipeline.advance(store, queue, plan, "augment", name)

        with ThreadPoolExecutor(8) as workers:
            list(workers.map(end, plan.names("augment")))
        assert queue.taken() == everything(plan, "segment")

    def test_a_stage_that_another_run_has_done_is_stepped_over(self, store: CountingStore, queue: MemoryQueue) -> None:
        first, second = small_plan(run="first"), small_plan(run="second")
        begun(store, queue, first)
        begun(store, queue, second)
        do(store, first, "augment")
        do(store, first, "segment")
        for name in second.names("augment"):
            pipeline.advance(store, queue, second, "augment", name)
        assert queue.taken() == everything(second, "train")

    def test_a_stage_without_work_is_stepped_over(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(promote=()), *STAGES[:4])
        finish(store, queue, plan, "publish")
        assert queue.taken() == []
        assert is_finished(store, plan)

    def test_a_stage_is_listed_when_its_last_unit_is_done_and_not_after_each(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(8 * 50))
        for stage in SHARDED:
            store.listed.clear()
            finish(store, queue, plan, stage, list(plan.names(stage))[:-1])
            assert not store.listed
            finish(store, queue, plan, stage, ["000049"])
            assert store.listed[plan.done_prefix(stage)] == 1
        assert len(queue.taken()) == 50 + plan.count("train")

    def test_workers_that_are_faster_than_the_sender_leave_no_stage_behind(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = small_plan(20)
        queue.worker = lambda stage, name: finish(store, queue, plan, stage, [name])
        pipeline.start(store, queue, plan)
        assert queue.taken() == [message for stage in STAGES for message in everything(plan, stage)]
        assert is_finished(store, plan)

    def test_while_a_stage_is_being_enqueued_it_is_not_left(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan, seen = small_plan(20), []

        def work(stage: Stage, name: str) -> None:
            do(store, plan, stage)  # another run does them all meanwhile
            pipeline.advance(store, queue, plan, stage, name)
            seen.append((stage, name))

        queue.worker = work
        pipeline.start(store, queue, plan)
        assert seen == queue.taken() == [message for stage in STAGES for message in everything(plan, stage)]


class TestLostMessages:
    def test_a_tally_that_was_lost_in_the_middle_delays_nothing(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(64))
        for stage, following in pairwise(STAGES):
            names = list(plan.names(stage))
            half = len(names) // 2
            finish(store, queue, plan, stage, names[:half])
            queue.lose_everything()
            store.listed.clear()
            finish(store, queue, plan, stage, names[half:])
            assert queue.taken() == everything(plan, following)
            assert store.listed[plan.done_prefix(stage)] <= 2  # for a new tally, and at the end

    @pytest.mark.parametrize("lost_before", range(8))
    def test_whenever_a_tally_is_lost_the_stage_is_left_once(
        self, store: CountingStore, queue: MemoryQueue, lost_before: int
    ) -> None:
        plan = begun(store, queue, small_plan(64))
        for number, name in enumerate(plan.names("augment")):
            if number >= lost_before:
                queue.lose_everything()
            assert queue.taken() == []
            finish(store, queue, plan, "augment", [name])
        assert queue.taken() == everything(plan, "segment")

    @pytest.mark.parametrize("attempt", range(8))
    def test_workers_that_finish_at_once_without_a_tally_enqueue_the_next_stage_once(
        self, store: CountingStore, queue: MemoryQueue, attempt: int
    ) -> None:
        plan = begun(store, queue, small_plan(32))
        finish(store, queue, plan, "augment", ["000000", "000001"])
        queue.lose_everything()
        together = threading.Barrier(2)

        def end(name: str) -> None:
            together.wait()
            finish(store, queue, plan, "augment", [name])

        with ThreadPoolExecutor(2) as workers:
            list(workers.map(end, ("000002", "000003")))
        assert queue.taken() == everything(plan, "segment")

    def test_a_unit_that_others_still_hold_for_missing_is_struck_off_their_tally(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(24))
        queue.lose_everything()
        asked: list[str] = []

        class Overtaken(DirectoryStore):
            """Once it was listed, the other two units are done."""

            def list(self, prefix: str) -> Iterator[str]:
                found = list(super().list(prefix))
                if not asked:
                    asked.append(prefix)
                    finish(store, queue, plan, "augment", ["000001"])
                return iter(found)

        do(store, plan, "augment", ["000000"])
        pipeline.advance(Overtaken(store.root), queue, plan, "augment", "000000")
        assert queue.taken() == []
        finish(store, queue, plan, "augment", ["000002"])
        assert queue.taken() == everything(plan, "segment")

    @pytest.mark.parametrize("sent_before", [0, 1])
    def test_a_broker_that_was_away_gets_the_next_stage_at_the_next_try(
        self, store: CountingStore, sent_before: int
    ) -> None:
        queue = MemoryQueue()
        plan = begun(store, queue, small_plan())
        queue.breaks_after = sent_before
        with pytest.raises(QueueUnavailable):
            finish(store, queue, plan, "augment")
        queue.taken()
        pipeline.advance(store, queue, plan, "augment", "000000")  # the message of another unit comes again
        assert queue.taken() == []
        pipeline.advance(store, queue, plan, "augment", "000001")  # the worker tries its unit again
        assert queue.taken() == everything(plan, "segment")
        pipeline.advance(store, queue, plan, "augment", "000001")
        assert queue.taken() == []

    def test_a_unit_whose_worker_died_before_it_enqueued_the_next_stage_does_so_when_it_comes_again(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan())
        do(store, plan, "augment")
        died = StageMarker(unit="000000", token="of the dead", when=now())
        store.put(layout.stage_marker(plan.run, "augment"), died.model_dump_json().encode())
        pipeline.advance(store, queue, plan, "augment", "000001")
        assert queue.taken() == []
        pipeline.advance(store, queue, plan, "augment", "000000")
        assert queue.taken() == everything(plan, "segment")
        assert marker(store, plan, "augment") == died.model_copy(update={"enqueued": True})

    def test_a_stage_ends_with_the_name_of_its_last_unit(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(), "augment")
        assert (marker(store, plan, "augment").unit, marker(store, plan, "augment").enqueued) == ("000001", True)
        assert not store.exists(layout.stage_marker(plan.run, "segment"))


class TestResume:
    def test_enqueues_what_is_missing_and_nothing_else(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(32), "augment")
        do(store, plan, "segment", ["000001", "000002"])
        assert pipeline.resume(store, queue, plan.run) == 2
        assert queue.taken() == [("segment", "000000"), ("segment", "000003")]

    @pytest.mark.parametrize("lost", STAGES)
    def test_whatever_stage_the_queue_was_lost_in_a_resumed_run_ends(
        self, store: CountingStore, queue: MemoryQueue, lost: Stage
    ) -> None:
        place = STAGES.index(lost)
        plan = begun(store, queue, small_plan(), *STAGES[:place])
        queue.lose_everything()
        pipeline.resume(store, queue, plan.run)
        for stage in STAGES[place:]:
            assert queue.taken() == everything(plan, stage)
            finish(store, queue, plan, stage)
        assert is_finished(store, plan)

    def test_a_stage_that_was_marked_but_never_enqueued_is_enqueued(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan())
        queue.breaks_after = 0
        with pytest.raises(QueueUnavailable):
            finish(store, queue, plan, "augment")  # and the worker dies
        assert pipeline.resume(store, queue, plan.run) == 2
        assert queue.taken() == everything(plan, "segment")

    def test_films_that_were_deleted_are_made_again_and_the_run_goes_on(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(), "augment", "segment")
        store.delete(plan.done_key("augment", "000001"))
        assert pipeline.resume(store, queue, plan.run) == 1
        assert queue.taken() == [("augment", "000001")]
        finish(store, queue, plan, "augment", ["000001"])
        assert queue.taken() == everything(plan, "train")

    @pytest.mark.parametrize("stage", STAGES[:-1])
    def test_of_an_incomplete_stage_and_those_after_it_no_marker_is_left(
        self, store: CountingStore, queue: MemoryQueue, stage: Stage
    ) -> None:
        place = STAGES.index(stage)
        plan = begun(store, queue, small_plan(), *STAGES)
        store.delete(next(iter(plan.units(stage))).done_key)
        assert pipeline.resume(store, queue, plan.run) == 1
        marked = [other for other in STAGES if store.exists(layout.stage_marker(plan.run, other))]
        assert marked == list(STAGES[:place])

    def test_forgets_what_its_run_alone_gave_up(self, store: CountingStore, queue: MemoryQueue) -> None:
        for run in ("one", "other"):
            begun(store, queue, small_plan(run=run))
            pipeline.give_up(store, run, "augment", "000000", ValueError("broken"))
        pipeline.resume(store, queue, "one")
        assert pipeline.failures(store, "one") == []
        assert [failure.unit for failure in pipeline.failures(store, "other")] == ["000000"]

    def test_enqueues_what_was_given_up_and_leaves_films_aside(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan())
        finish(store, queue, plan, "augment", ["000000"])
        set_aside(store, plan, "augment", "000000", "mdb003")
        pipeline.give_up(store, plan.run, "augment", "000001", ValueError("broken"))
        assert pipeline.resume(store, queue, plan.run) == 1
        assert queue.taken() == [("augment", "000001")]
        assert [failure.film for failure in pipeline.failures(store, plan.run)] == ["mdb003"]

    def test_resuming_a_finished_run_enqueues_nothing_and_changes_nothing(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(), *STAGES)
        before = list(store.list(""))
        assert pipeline.resume(store, queue, plan.run) == 0
        assert queue.taken() == []
        assert list(store.list("")) == before

    def test_an_unknown_run_is_not_resumed_retried_or_cancelled(self, store: CountingStore, queue: MemoryQueue) -> None:
        for action in (
            lambda: pipeline.resume(store, queue, "unknown"),
            lambda: pipeline.retry(store, queue, "unknown"),
            lambda: pipeline.cancel(store, "unknown"),
        ):
            with pytest.raises(RunNotFound):
                action()
        assert list(store.list("")) == []


def damage(store: ObjectStore, key: str) -> None:
    store.put(key, store.get(key) + b"\0")


class TestDamagedImages:
    @pytest.mark.parametrize("harm", [damage, DirectoryStore.delete], ids=["damaged", "missing"])
    @pytest.mark.parametrize(
        ("suffix", "expected"),
        [
            ("data_augmentation/small/{augmented}/mdb010/001.png", ("augment", "000001")),
            ("data_segmentation/small/{segmented}/mdb010/001.png", ("segment", "000001")),
            ("data_segmentation/small/{segmented}/mdb010/001.mask.png", ("segment", "000001")),
        ],
        ids=["augmented", "segmented", "mask"],
    )
    def test_a_verified_run_makes_the_shard_of_an_image_that_is_damaged_or_missing_again_and_no_other(
        self,
        store: CountingStore,
        queue: MemoryQueue,
        harm: Callable[[ObjectStore, str], None],
        suffix: str,
        expected: tuple[Stage, str],
    ) -> None:
        plan = stored(store, small_plan(24))
        do_films(store, plan)
        begun(store, queue, plan)
        recipe = plan.augmentation
        harm(store, suffix.format(augmented=recipe.id, segmented=recipe.segmented_id))
        assert pipeline.resume(store, queue, plan.run) == plan.count("train")  # nobody looked
        queue.taken()
        assert pipeline.resume(store, queue, plan.run, verify=True) == 1
        assert queue.taken() == [expected]
        missing = [(stage, unit.name) for stage in SHARDED for unit in pipeline.missing_units(store, plan, stage)]
        assert missing == [expected]

    def test_a_verified_run_makes_a_shard_with_an_unreadable_manifest_again(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = stored(store, small_plan(24))
        do_films(store, plan)
        begun(store, queue, plan)
        store.put(plan.done_key("segment", "000002"), b"{")
        assert pipeline.resume(store, queue, plan.run, verify=True) == 1
        assert queue.taken() == [("segment", "000002")]

    def test_a_verified_run_whose_images_are_whole_goes_on_where_it_was(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = stored(store, small_plan(24))
        do_films(store, plan)
        begun(store, queue, plan)
        before = list(store.list(""))
        assert pipeline.resume(store, queue, plan.run, verify=True) == plan.count("train")
        assert list(store.list("")) == before


class TestSetAside:
    def test_a_film_that_is_set_aside_does_not_stop_its_stage(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan())
        set_aside(store, plan, "augment", "000000", "mdb003")
        finish(store, queue, plan, "augment")
        assert queue.taken() == everything(plan, "segment")

    def test_a_film_that_is_set_aside_is_noted_with_its_shard_and_reason(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan())
        for _ in range(2):  # the shard's message came twice
            set_aside(store, plan, "augment", "000000", "mdb003", "mdb004")
        first, second = pipeline.failures(store, plan.run)
        assert (first.film, second.film) == ("mdb003", "mdb004")
        assert (first.stage, first.unit, first.code, first.message) == ("augment", "000000", "invalid-image", "bad")

    def test_retry_makes_the_shards_of_films_that_were_set_aside_again_and_no_others(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(40), "augment", "segment")
        set_aside(store, plan, "augment", "000001", "mdb009", "mdb011")
        set_aside(store, plan, "segment", "000003", "mdb025")
        assert pipeline.retry(store, queue, plan.run) == 1
        missing = [(stage, unit.name) for stage in SHARDED for unit in pipeline.missing_units(store, plan, stage)]
        assert missing == [("augment", "000001"), ("segment", "000001"), ("segment", "000003")]
        assert queue.taken() == [("augment", "000001")]
        assert queue.forgotten == [plan.run]
        assert pipeline.failures(store, plan.run) == []
        finish(store, queue, plan, "augment", ["000001"])
        assert queue.taken() == [("segment", "000001"), ("segment", "000003")]

    def test_retry_enqueues_what_was_given_up_as_well(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(), "augment", "segment")
        pipeline.give_up(store, plan.run, "train", "resnet50/patient/fold-1", ValueError("broken"))
        assert pipeline.retry(store, queue, plan.run) == 3
        assert pipeline.failures(store, plan.run) == []

    @pytest.mark.parametrize("deletions", range(4))
    def test_a_retry_that_is_interrupted_is_completed_by_the_next(
        self, store: CountingStore, queue: MemoryQueue, deletions: int
    ) -> None:
        class Interrupted(DirectoryStore):
            left = deletions

            def delete(self, key: str) -> None:
                if self.left == 0:
                    raise StoreUnavailable("the store is away")
                self.left -= 1
                super().delete(key)

        plan = begun(store, queue, small_plan(), "augment", "segment")
        set_aside(store, plan, "augment", "000001", "mdb009")
        with pytest.raises(StoreUnavailable):
            pipeline.retry(Interrupted(store.root), queue, plan.run)
        queue.taken()
        pipeline.retry(store, queue, plan.run)
        assert queue.taken() == [("augment", "000001")]
        finish(store, queue, plan, "augment", ["000001"])
        assert queue.taken() == [("segment", "000001")]

    def test_a_shard_that_is_made_again_with_all_its_films_has_none_set_aside(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = stored(store, small_plan(24))
        do_films(store, plan)
        begun(store, queue, plan)
        set_aside(store, plan, "segment", "000001", "mdb010")
        set_aside(store, plan, "segment", "000002", "mdb018")
        damage(store, shard_of(store, SEGMENT, plan, "000001").variants[0].key)
        pipeline.resume(store, queue, plan.run, verify=True)
        assert [failure.film for failure in pipeline.failures(store, plan.run)] == ["mdb018"]


class TestCancel:
    def test_a_cancelled_run_keeps_what_is_done_until_it_is_resumed(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan())
        other = begun(store, queue, small_plan(run="other"))
        finish(store, queue, plan, "augment", ["000000"])
        assert not pipeline.is_cancelled(store, plan.run)
        pipeline.cancel(store, plan.run)
        assert pipeline.is_cancelled(store, plan.run)
        assert not pipeline.is_cancelled(store, other.run)
        assert pipeline.resume(store, queue, plan.run) == 1
        assert queue.taken() == [("augment", "000001")]
        assert not pipeline.is_cancelled(store, plan.run)

    def test_a_run_may_be_cancelled_twice_and_resumed_twice(self, store: CountingStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan())
        for _ in range(2):
            pipeline.cancel(store, plan.run)
            pipeline.cancel(store, plan.run)
            assert pipeline.resume(store, queue, plan.run) == 2
        assert queue.taken() == everything(plan, "augment") * 2


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [
            (StoreUnavailable("the store is away"), "store-unavailable", "the store is away"),
            (ZeroDivisionError("division by zero"), "internal", "ZeroDivisionError: division by zero"),
        ],
    )
    def test_what_was_given_up_is_told_with_its_reason(
        self, store: CountingStore, queue: MemoryQueue, error: Exception, code: str, message: str
    ) -> None:
        plan = begun(store, queue, small_plan(), "augment", "segment")
        failure = pipeline.give_up(store, plan.run, "train", "resnet50/patient/fold-1", error)
        assert (failure.unit, failure.code, failure.message) == ("resnet50/patient/fold-1", code, message)
        assert pipeline.failures(store, plan.run) == [failure]
        assert Failure.model_validate_json(failure.model_dump_json()) == failure

    def test_missing_units_are_those_whose_own_object_is_missing(
        self, store: CountingStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, small_plan(), "augment", "segment")
        for unit in ("resnet50/patient/fold-0", "resnet50/patient/fold-1", "resnet50/paper/fold-0"):
            for name in ("checkpoint.safetensors", "model.safetensors", "progress.json", "result.json.tmp"):
                store.put(layout.fold_file(plan.run, unit, name), b"not the result")
        do(store, plan, "train", ["resnet50/patient/fold-1"])
        missing = [unit.name for unit in pipeline.missing_units(store, plan, "train")]
        assert missing == ["resnet50/paper/fold-0", "resnet50/patient/fold-0"]

    def test_runs_are_listed_the_oldest_first(self, store: CountingStore, queue: MemoryQueue) -> None:
        assert pipeline.list_runs(store) == []
        for run in ("20240602-000000-aaaa", "20240601-000000-bbbb"):
            begun(store, queue, small_plan(run=run), *STAGES)
        assert pipeline.list_runs(store) == ["20240601-000000-bbbb", "20240602-000000-aaaa"]
