"""Work of threads whose results come in order, few at a time."""

import threading
from collections.abc import Iterator

import pytest

from services.train.data.ordered import in_order


class TestInOrder:
    def test_results_come_in_the_order_of_the_items(self) -> None:
        released = threading.Event()

        def work(number: int) -> int:
            if number == 0:
                assert released.wait(30)
            released.set()
            return number * number

        assert list(in_order(work, range(20), 3)) == [number * number for number in range(20)]

    def test_few_results_wait_to_be_taken(self) -> None:
        taken = 0

        def items() -> Iterator[int]:
            for number in range(100):
                assert number <= taken + 6
                yield number

        for _ in in_order(lambda number: number, items(), 3):
            taken += 1
        assert taken == 100

    def test_an_error_comes_in_its_place_and_ends_it(self) -> None:
        def work(number: int) -> int:
            if number == 3:
                raise ValueError(number)
            return number

        results = in_order(work, range(100), 2)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="3"):
            next(results)
