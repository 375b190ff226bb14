"""Reads the segmented films of a run as network inputs. The last data set read stays in memory for the next job."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from services.train.core import Examples, Floats
from shared.datasets.manifest import CLASSES, Shard, Variant
from shared.errors import StoreError
from shared.imaging.decode import decode
from shared.imaging.preprocess import Preprocessing, network_input
from shared.store import keys
from shared.store.objects import ObjectStore

_READERS = 4


@dataclass(frozen=True)
class Images:
    """All segmented images of a data set, `inputs[i]` (float32 1 x S x S) being that of `variants[i]`."""

    variants: tuple[Variant, ...]
    inputs: Floats

    def examples(self, indices: "np.typing.NDArray[np.intp]") -> Examples:
        labels = [CLASSES.index(self.variants[index].label) for index in indices]
        return Examples(self.inputs[indices], np.array(labels, np.int64))


@lru_cache(maxsize=1)
def load_images(store: ObjectStore, dataset: str, recipe: str, preprocessing: Preprocessing) -> Images:
    """Fetches and prepares every segmented image of `dataset` under the segmentation `recipe`.

    Raises:
        StoreError: an image is not the one that its manifest names.
    """
    shards = [
        Shard.model_validate_json(store.get(key)) for key in store.list(keys.segmented_manifests(dataset, recipe))
    ]
    variants = tuple(variant for shard in shards for variant in shard.variants)
    with ThreadPoolExecutor(_READERS) as readers:
        inputs = list(readers.map(_reader(store, preprocessing), variants))
    return Images(variants, np.stack(inputs))


def _reader(store: ObjectStore, preprocessing: Preprocessing) -> Callable[[Variant], Floats]:
    def read(variant: Variant) -> Floats:
        if variant.mask_key is None or variant.mask_sha256 is None:
            raise StoreError(f"{variant.key} has no mask; it was not segmented")
        film = decode(_checked(store, variant.key, variant.sha256)).pixels.astype(np.uint8, copy=False)
        mask = decode(_checked(store, variant.mask_key, variant.mask_sha256)).pixels.astype(np.uint8, copy=False)
        return network_input(film, mask, preprocessing)

    return read


def _checked(store: ObjectStore, key: str, sha256: str) -> bytes:
    data = store.get(key)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StoreError(f"{key} is not what the segment worker wrote; delete its shard's manifest and resume the run")
    return data
