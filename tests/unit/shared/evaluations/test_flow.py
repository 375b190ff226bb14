"""The flow of an evaluation: shards, then the report, whatever is lost on the way."""

from pathlib import Path

import pytest

from services.train.external import write_report
from shared.errors import ModelCorrupt, QueueUnavailable
from shared.evaluations import flow
from shared.evaluations.plan import REPORT, EvaluationPlan
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support.external import judge, known_films, others, planned, published
from tests.support.memory_queue import MemoryQueue

FIRST, SECOND = "000000", "000001"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path)
    published(store)
    known_films(store, "clinic", others())
    return store


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


def begun(store: DirectoryStore, queue: MemoryQueue) -> EvaluationPlan:
    return flow.start(store, queue, planned(store))


class TestFlow:
    def test_shards_come_first_and_the_report_after_the_last_of_them(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue)
        assert queue.taken() == [("judge", FIRST), ("judge", SECOND)]
        for shard, following in ((SECOND, []), (FIRST, [("judge", REPORT)])):
            judge(store, plan, shard)
            flow.advance(store, queue, plan, shard)
            assert queue.taken() == following
        flow.advance(store, queue, plan, REPORT)
        assert queue.taken() == []

    def test_the_same_evaluation_is_begun_once_and_does_the_rest(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue)
        judge(store, plan, FIRST)
        queue.lose_everything()
        again = flow.start(store, queue, planned(store).model_copy(update={"created": "later"}))
        assert again == plan
        assert queue.taken() == [("judge", SECOND)]
        judge(store, plan, SECOND)
        queue.lose_everything()
        flow.start(store, queue, plan)
        assert queue.taken() == [("judge", REPORT)]
        write_report(store, plan)
        flow.start(store, queue, plan)
        assert queue.taken() == []

    @pytest.mark.parametrize(
        ("damaged", "content"),
        [
            ("metrics.json", None),
            ("index.html", b"<html>"),
            ("digests.json", b""),
            ("digests.json", b"{}"),
            ("digests.json", b"[]"),
        ],
    )
    def test_a_report_that_is_damaged_or_has_lost_a_file_is_made_again_by_the_same_command(
        self, store: DirectoryStore, queue: MemoryQueue, damaged: str, content: bytes | None
    ) -> None:
        plan = begun(store, queue)
        judge(store, plan)
        write_report(store, plan)
        key = layout.evaluation_report(plan.evaluation, damaged)
        queue.lose_everything()
        if content is None:
            store.delete(key)
        else:
            store.put(key, content)
        flow.start(store, queue, plan)
        assert queue.taken() == [("judge", REPORT)]
        assert flow.read_external_evaluation(store, plan) is None
        write_report(store, plan)
        assert flow.read_external_evaluation(store, plan)

    def test_a_shard_that_is_delivered_again_when_the_tally_is_lost_brings_the_report(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue)
        judge(store, plan)
        queue.lose_everything()
        flow.advance(store, queue, plan, FIRST)
        assert queue.taken() == [("judge", REPORT)]

    def test_a_unit_that_was_given_up_is_tried_again_by_the_same_command(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue)
        queue.taken()
        flow.give_up(store, plan.evaluation, FIRST, ModelCorrupt("the graph is damaged"))
        (failure,) = flow.failures(store, plan)
        assert (failure.unit, failure.code, failure.message) == (FIRST, ModelCorrupt.code, "the graph is damaged")
        flow.start(store, queue, plan)
        assert flow.failures(store, plan) == []
        assert ("judge", FIRST) in queue.taken()

    def test_a_plan_and_answers_that_cannot_be_read_are_made_again(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue)
        judge(store, plan)
        queue.taken()
        store.put(layout.evaluation_plan(plan.evaluation), b"{")
        store.put(plan.done_key(SECOND), b"")
        again = begun(store, queue)
        assert again.model_copy(update={"created": plan.created}) == plan
        assert queue.taken() == [("judge", SECOND)]

    def test_without_a_broker_the_evaluation_is_stored_and_can_be_begun_again(self, store: DirectoryStore) -> None:
        queue = MemoryQueue(breaks_after=1)
        with pytest.raises(QueueUnavailable, match="give the same command again; the evaluation is stored"):
            begun(store, queue)
        begun(store, queue)
        assert queue.taken()[-2:] == [("judge", FIRST), ("judge", SECOND)]

    def test_there_are_no_figures_before_the_report(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        assert flow.read_external_evaluation(store, begun(store, queue)) is None
