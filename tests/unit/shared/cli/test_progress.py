"""What the terminal says of a run: the line of its failures, and the table of its stages."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from shared.cli.progress import failure_line, follow, status_line, status_table
from shared.errors import RunError
from shared.queue.messages import STAGES, QueueDepth
from shared.runs import pipeline
from shared.runs.decisions import PromotionDecision
from shared.runs.pipeline import Failure
from shared.runs.status import RunStatus, StageStatus, read_status
from shared.store.directory import DirectoryStore
from tests.support.builders import small_plan
from tests.support.memory_queue import MemoryQueue, begun, finish
from tests.support.tiny_stages import stored


def failure(unit: str, film: str | None = None) -> Failure:
    return Failure(stage="augment", unit=unit, film=film, code="internal", message="it broke.", when="now")


def status(**changes: Any) -> RunStatus:
    fields = {
        "run": "run-7",
        "dataset": "films",
        "synthetic": True,
        "state": "running",
        "stages": (),
        "failures": (),
        "jobs": {},
        "finished_jobs": frozenset(),
        "queue": None,
    }
    return RunStatus.model_validate(fields | changes)


def printed(found: RunStatus) -> str:
    console = Console(width=200, record=True)
    console.print(status_table(found))
    return " ".join(console.export_text().split())


class TestDecisions:
    def test_a_refusal_stands_in_the_line_of_the_run(self) -> None:
        refused = PromotionDecision(promoted=False, version="run-7", reason="it is worse")
        accepted = PromotionDecision(promoted=True, version="run-7", previous="run-6")
        found = status(state="finished", decisions={"resnet50": refused, "alexnet": accepted})
        assert status_line(found) == "run run-7 over films (SYNTHETIC): finished; NOT promoted: resnet50"
        assert accepted.sentence("alexnet") == "alexnet run-7 was promoted to production; before: run-6"

    def test_the_end_of_a_run_says_why_its_model_was_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store, queue = DirectoryStore(tmp_path), MemoryQueue()
        plan = begun(store, queue, small_plan(), *STAGES[:-1])
        refused = PromotionDecision(promoted=False, version=plan.run, reason="its macro AUC is -0.1 [of] v1")
        store.put(plan.done_key("promote", "resnet50"), refused.model_dump_json().encode())
        follow(store, plan)
        said = " ".join(capsys.readouterr().out.split())
        assert f"resnet50 {plan.run} was NOT promoted, production stays as it is: its macro AUC is -0.1 [of] v1" in said


class TestFailureLine:
    def test_a_run_that_was_cancelled_says_how_to_go_on(self) -> None:
        assert failure_line(status(state="cancelled")) == (
            "run run-7 was cancelled; continue it with `mammo resume run-7`"
        )

    def test_what_was_given_up_goes_before_films_and_is_counted(self) -> None:
        failures = (failure("000000", "mdb001"), failure("000001"), failure("000002"))
        assert failure_line(status(failures=failures)) == (
            "augment 000001 was given up (and 1 more): it broke. Fix the cause, then run `mammo resume run-7`; "
            "finished work is kept."
        )

    @pytest.mark.parametrize(("films", "words"), [(1, "1 film was set aside"), (2, "2 films were set aside")])
    def test_films_are_counted_and_the_first_named(self, films: int, words: str) -> None:
        line = failure_line(status(failures=tuple(failure("000000", f"mdb{n:03d}") for n in range(1, films + 1))))
        assert line.startswith(f"{words}, the first is mdb001 in augment: it broke. The run continues without;")
        assert line.endswith("then run `mammo retry run-7`.")


class TestStatusTable:
    def test_a_line_names_the_run_its_data_and_state(self) -> None:
        assert status_line(status()) == "run run-7 over films (SYNTHETIC): running"
        assert status_line(status(synthetic=False, state="failed")) == "run run-7 over films: failed"

    def test_rates_are_by_the_second_or_the_minute_and_times_in_hours(self) -> None:
        stage = StageStatus(stage="augment", units=2, done=1, films=16, films_done=8, failed=0, set_aside=1)
        fast = stage.model_copy(update={"rate": 2.0, "left_s": 3725.0})
        slow = stage.model_copy(update={"stage": "train", "films": 0, "rate": 0.25, "left_s": None})
        text = printed(status(stages=(fast, slow)))
        assert "2.0 films/s" in text
        assert "1:02:05" in text
        assert "15.0 epochs/min" in text
        assert "8/16" in text
        assert "1 set aside" in text

    def test_a_broker_that_is_away_is_told(self) -> None:
        assert "the broker does not answer" in printed(status())

    def test_a_run_of_which_nothing_is_queued_says_how_to_go_on(self) -> None:
        idle = QueueDepth(waiting={"augment": 0}, in_hand=0)
        assert "Nothing is queued: `mammo resume run-7`" in printed(status(queue=idle))
        busy = QueueDepth(waiting={"augment": 3}, in_hand=1)
        assert "waiting augment 3; in hand 1" in printed(status(queue=busy))
        assert "Nothing is queued" not in printed(status(queue=busy))


class TestFollow:
    def test_it_returns_once_the_run_is_finished(self, tmp_path: Path) -> None:
        store, queue = DirectoryStore(tmp_path), MemoryQueue()
        plan = begun(store, queue, stored(store, small_plan()), *STAGES[:-1])
        finish(store, queue, plan, STAGES[-1])
        assert read_status(store, plan.run).state == "finished"
        follow(store, plan)

    def test_a_run_that_was_cancelled_is_an_error(self, tmp_path: Path) -> None:
        store, queue = DirectoryStore(tmp_path), MemoryQueue()
        plan = begun(store, queue, stored(store, small_plan()))
        pipeline.cancel(store, plan.run)
        with pytest.raises(RunError, match="was cancelled"):
            follow(store, plan)

    def test_a_process_that_died_is_noticed_before_the_next_look(self, tmp_path: Path) -> None:
        def check() -> None:
            raise RunError("the worker ended")

        store, queue = DirectoryStore(tmp_path), MemoryQueue()
        plan = begun(store, queue, stored(store, small_plan()))
        with pytest.raises(RunError, match="the worker ended"):
            follow(store, plan, check)
