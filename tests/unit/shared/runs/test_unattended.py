"""Runs whose messages are lost, told from those that are under way, finished, cancelled or given up."""

from pathlib import Path

import pytest

from shared.queue.messages import STAGES
from shared.runs import pipeline
from shared.runs.unattended import unattended_runs
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support.builders import small_plan
from tests.support.memory_queue import MemoryQueue, begun, do


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


class TestUnattendedRuns:
    def test_a_run_is_attended_while_its_messages_wait_and_no_more_when_they_are_lost(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = small_plan()
        pipeline.start(store, queue, plan)
        assert unattended_runs(store, queue, set()) == []
        queue.lose_everything()
        assert unattended_runs(store, queue, set()) == [plan.run]
        pipeline.resume(store, queue, plan.run)
        assert unattended_runs(store, queue, set()) == []

    def test_units_that_were_dropped_leave_a_run_unattended_though_its_tally_is_there(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = small_plan()
        pipeline.start(store, queue, plan)
        queue.taken()
        assert unattended_runs(store, queue, set()) == [plan.run]

    def test_a_finished_run_is_remembered_and_not_looked_at_again(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan, finished = begun(store, queue, small_plan()), set[str]()
        for stage in STAGES:
            do(store, plan, stage)
        assert unattended_runs(store, queue, finished) == []
        assert finished == {plan.run}
        store.delete(layout.promoted_mark(plan.run, next(plan.names("promote"))))
        assert unattended_runs(store, queue, finished) == []

    def test_a_run_that_waits_for_a_person_is_left_out(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        cancelled = begun(store, queue, small_plan())
        pipeline.cancel(store, cancelled.run)
        assert unattended_runs(store, queue, set()) == []
        store.delete(layout.cancelled(cancelled.run))
        pipeline.give_up(store, cancelled.run, "augment", "000000", ValueError("damaged"))
        assert unattended_runs(store, queue, set()) == []

    def test_a_run_whose_plan_is_damaged_hides_no_other(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan())
        store.put(layout.run_plan("20260101-000000-0000"), b"{")
        assert unattended_runs(store, queue, set()) == [plan.run]

    def test_a_run_with_a_failure_that_only_a_later_release_can_read_hides_no_other(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        of_later_release, lost = (begun(store, queue, small_plan()) for _ in range(2))
        store.put(layout.failure(of_later_release.run, "augment", "000000"), b'{"schema_number": 99}')
        assert unattended_runs(store, queue, set()) == [lost.run]

    def test_a_failure_that_is_removed_while_it_is_looked_at_raises_nothing(
        self, store: DirectoryStore, queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan = begun(store, queue, small_plan())
        key = layout.failure(plan.run, "augment", "000000")
        listed = store.list
        monkeypatch.setattr(store, "list", lambda prefix: iter([key] if key.startswith(prefix) else listed(prefix)))
        assert unattended_runs(store, queue, set()) == []
