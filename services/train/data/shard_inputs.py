"""Network inputs of one shard in one object of the store.

The first job of a run on a large data set makes them; the other jobs, on this machine or others, read one object for
each shard instead of two images for each film. An object begins with the digest of the rest, which is a `.npy` file.
One that is damaged is made again.
"""

import io
from collections.abc import Callable

import numpy as np

from services.train.data.examples import Depth, StoredInputs
from shared.digests import sha256_hex
from shared.errors import ObjectNotFound
from shared.store.interface import ObjectStore

_DIGEST = 64


def shard_inputs(
    store: ObjectStore, key: str, shape: tuple[int, ...], dtype: Depth, make: Callable[[], StoredInputs]
) -> StoredInputs:
    """Return the inputs of a shard (`shape`, `dtype`) that are stored under `key`, or `make` and store them."""
    try:
        stored = _read(store.get(key))
    except ObjectNotFound:
        stored = None
    if stored is not None and stored.shape == shape and stored.dtype == dtype:
        return stored
    made = make()
    store.put(key, _written(made))
    return made


def _written(inputs: StoredInputs) -> bytes:
    file = io.BytesIO()
    np.save(file, inputs, allow_pickle=False)
    return sha256_hex(file.getvalue()).encode() + file.getvalue()


def _read(data: bytes) -> StoredInputs | None:
    digest, content = data[:_DIGEST], data[_DIGEST:]
    if sha256_hex(content).encode() != digest:
        return None
    inputs: StoredInputs = np.load(io.BytesIO(content), allow_pickle=False)
    return inputs
