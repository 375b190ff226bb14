"""The last unit is known whoever finishes last, and when the broker has lost its tally."""

from collections.abc import Callable, Iterator

from shared.queue.tally import was_last
from tests.support.memory_queue import MemoryQueue

RUN, KIND = "run", "augment"


def missing(*names: str) -> Callable[[], Iterator[str]]:
    return lambda: iter(names)


def never() -> Iterator[str]:
    raise AssertionError("the store was read, though units are left")


class TestWasLast:
    def test_the_store_is_not_read_while_units_are_left(self) -> None:
        queue = MemoryQueue()
        queue.begin_tally(RUN, KIND, ["a", "b"])
        assert not was_last(queue, RUN, KIND, "a", never)
        assert was_last(queue, RUN, KIND, "b", missing())

    def test_a_unit_that_is_done_twice_strikes_no_other(self) -> None:
        queue = MemoryQueue()
        queue.begin_tally(RUN, KIND, ["a", "b"])
        for _ in range(2):
            assert not was_last(queue, RUN, KIND, "a", never)

    def test_the_store_has_the_last_word(self) -> None:
        queue = MemoryQueue()
        queue.begin_tally(RUN, KIND, ["a"])
        assert not was_last(queue, RUN, KIND, "a", missing("b"))

    def test_a_tally_that_is_lost_is_begun_anew_with_what_is_missing(self) -> None:
        queue = MemoryQueue()
        assert not was_last(queue, RUN, KIND, "a", missing("b", "c"))
        assert not was_last(queue, RUN, KIND, "b", never)
        assert was_last(queue, RUN, KIND, "c", missing())

    def test_a_lost_tally_of_a_finished_stage_is_not_begun_anew(self) -> None:
        queue = MemoryQueue()
        assert was_last(queue, RUN, KIND, "a", missing())
        assert queue.strike(RUN, KIND, "a") is None
