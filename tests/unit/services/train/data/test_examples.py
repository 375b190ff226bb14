"""Examples are rows of a pool, in the order of their numbers, with their places."""

import numpy as np
import pytest

from services.train.data.examples import Depth, Examples, as_floats, rounded

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

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_whole_numbers_are_read_as_the_floats_that_they_stand_for(self, dtype: Depth) -> None:
        inputs = np.random.default_rng(0).random((5, 1, 2, 2), np.float32)
        inputs[0], inputs[1] = 0, 1
        examples = Examples(rounded(inputs, dtype), LABELS, ROWS)
        found = examples.read(np.array([0, 1, 2]))
        assert found.dtype == np.float32
        assert abs(found - inputs[ROWS]).max() <= 0.5001 / np.iinfo(dtype).max
        assert np.array_equal(found, examples.inputs)
        assert np.array_equal(as_floats(rounded(inputs[:2], dtype)), inputs[:2])

    def test_floats_stay_as_they_are(self) -> None:
        assert as_floats(POOL) is POOL

    def test_places_follow_the_films(self) -> None:
        found = Examples(POOL, LABELS, ROWS, PLACES).read_place_labels(np.array([1, 0]))
        assert found is not None
        assert numbers(found) == [0, 4]

    def test_places_may_be_unknown(self) -> None:
        assert Examples(POOL, LABELS, ROWS).read_place_labels(np.array([0])) is None
