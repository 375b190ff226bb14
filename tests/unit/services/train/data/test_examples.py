"""Examples are rows of a pool, in the order of their numbers, with their places."""

import numpy as np

from services.train.data.examples import Examples

POOL = np.arange(5, dtype=np.float32)[:, None, None, None] * np.ones((5, 1, 2, 2), np.float32)
LABELS = np.array([0, 1, 2], np.int64)
ROWS = np.array([4, 0, 2])
PLACES = np.arange(5, dtype=np.int8)[:, None, None] * np.ones((5, 1, 1), np.int8)


def numbers(array: np.ndarray) -> list[int]:
    """The number that each row is filled with."""
    return [int(row.flat[0]) for row in array]


class TestExamples:
    def test_without_rows_they_are_the_pool(self) -> None:
        whole = Examples(POOL, np.zeros(5, np.int64))
        assert whole.inputs is POOL
        assert numbers(whole.read(np.array([3, 1]))) == [3, 1]

    def test_rows_choose_from_the_pool_and_order_it(self) -> None:
        chosen = Examples(POOL, LABELS, ROWS)
        assert numbers(chosen.inputs) == [4, 0, 2]
        assert numbers(chosen.read(np.array([2, 0, 0]))) == [2, 4, 4]

    def test_places_follow_the_films(self) -> None:
        found = Examples(POOL, LABELS, ROWS, PLACES).read_place_labels(np.array([1, 0]))
        assert found is not None
        assert numbers(found) == [0, 4]

    def test_places_may_be_unknown(self) -> None:
        assert Examples(POOL, LABELS, ROWS).read_place_labels(np.array([0])) is None
