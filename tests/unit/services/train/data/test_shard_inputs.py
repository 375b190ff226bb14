"""Inputs of a shard in one object: made once, and again if the object is damaged."""

from pathlib import Path

import numpy as np
import pytest

from services.train.data.examples import Depth, StoredInputs, rounded
from services.train.data.shard_inputs import shard_inputs
from shared.store.directory import DirectoryStore

INPUTS = rounded(np.random.default_rng(0).random((3, 1, 4, 4), np.float32), np.uint8)


def never() -> StoredInputs:
    raise AssertionError("they were made again")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


class TestShardInputs:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_they_are_made_once(self, store: DirectoryStore, dtype: Depth) -> None:
        inputs: StoredInputs = np.asarray(INPUTS, dtype)
        assert np.array_equal(shard_inputs(store, "key", inputs.shape, dtype, lambda: inputs), inputs)
        again = shard_inputs(store, "key", inputs.shape, dtype, never)
        assert np.array_equal(again, inputs)
        assert again.dtype == dtype

    @pytest.mark.parametrize("place", [0, 70, -1])
    def test_a_damaged_object_is_made_again(self, store: DirectoryStore, place: int) -> None:
        shard_inputs(store, "key", INPUTS.shape, np.uint8, lambda: INPUTS)
        whole = store.get("key")
        damaged = bytearray(whole)
        damaged[place] ^= 1
        store.put("key", bytes(damaged))
        assert np.array_equal(shard_inputs(store, "key", INPUTS.shape, np.uint8, lambda: INPUTS), INPUTS)
        assert store.get("key") == whole

    def test_one_of_another_shape_is_made_again(self, store: DirectoryStore) -> None:
        shard_inputs(store, "key", INPUTS.shape, np.uint8, lambda: INPUTS)
        fewer = INPUTS[:2]
        assert np.array_equal(shard_inputs(store, "key", fewer.shape, np.uint8, lambda: fewer), fewer)
