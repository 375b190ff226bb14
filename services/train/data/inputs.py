"""Network inputs from the segmented films of a run, cached for the next job (`array_cache`)."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from services.train.data.array_cache import cached_array
from services.train.data.examples import Examples
from services.train.data.lesion_targets import PlaceLabels, place_labels
from services.train.data.provenance import code_sha256
from services.train.jobs import TrainingJob
from shared.datasets.splits import Split, paper_split, patient_split
from shared.digests import sha256_hex
from shared.domain.arrays import Float32Array, Int64Array
from shared.domain.films import SetAside, Shard, Variant
from shared.domain.records import CLASSES
from shared.errors import ObjectNotFound, StoreError, StoreUnavailable
from shared.imaging.formats.decode import decode
from shared.imaging.image import Image, with_depth
from shared.imaging.preprocess import Preprocessing, input_square, network_input
from shared.runs.plan import Plan
from shared.runs.sources import images_sha256
from shared.store.documents import parse_document
from shared.store.interface import ObjectStore

READERS = 4
DIVISION_SEED_STEP = 1000
"""Between the seeds of two divisions into folds, so that no fold of one has the seed of another's."""


@dataclass(frozen=True)
class RunImages:
    """All segmented images of a run: `inputs[i]` (float32 1 x S x S) belongs to `variants[i]`.

    `cache_key` is a digest of everything that the inputs are computed from, `sha256` that of their manifests.
    `set_aside` are the films that are missing, by shard.
    """

    variants: tuple[Variant, ...]
    inputs: Float32Array
    cache_key: str
    sha256: str
    set_aside: dict[str, tuple[SetAside, ...]]

    @property
    def labels(self) -> Int64Array:
        """The class index of each image."""
        return np.array([CLASSES.index(variant.label) for variant in self.variants], np.int64)

    def examples(self, indices: "npt.NDArray[np.intp]") -> Examples:
        """Return the images at `indices` as examples."""
        return Examples(self.inputs, self.labels[indices], indices)

    def originals(self, indices: Iterable[int]) -> list[int]:
        """Return those of `indices` that are films themselves, not augmented copies."""
        return [index for index in indices if self.variants[index].variant == 0]


def load_images(store: ObjectStore, plan: Plan, preprocessing: Preprocessing) -> RunImages:
    """Read and preprocess all segmented images of a run.

    Raises:
        StoreUnavailable: a shard is missing, because it is being recreated.
        StoreError: an image is not the one that its manifest names.
    """
    return _images(store, tuple(_manifests(store, plan)), preprocessing)


def job_split(images: Sequence[Variant], plan: Plan, job: TrainingJob) -> Split:
    """Split images into training, validation and test.

    Folds beyond the plan's `folds` belong to its repeats, each with another division of the patients.
    """
    if job.protocol == "paper":
        return paper_split(images, plan.seed)
    repeat, fold = divmod(job.fold, plan.folds)
    return patient_split(images, plan.folds, fold, plan.seed + DIVISION_SEED_STEP * repeat)


def read_segmented(store: ObjectStore, variant: Variant) -> tuple[Image, "npt.NDArray[np.uint8]"]:
    """Read a segmented film (H x W) and its mask (255 inside).

    Raises:
        StoreError: a file is not the one that its manifest names.
    """
    film = with_depth(decode(_checked(store, variant.key, variant.sha256)), variant.bits)
    return film, _read_mask(store, variant)


def load_place_labels(store: ObjectStore, images: RunImages, edge: int) -> PlaceLabels:
    """Return the classes at the places of the feature maps of all images, int8 N x edge x edge (`lesion_targets`)."""

    def field_of_view(variant: Variant) -> Float32Array:
        box = cv2.boundingRect(_read_mask(store, variant))
        return np.array(input_square((box[0], box[1], box[2], box[3])), np.float32)

    def rows() -> Iterator[Float32Array]:
        with ThreadPoolExecutor(READERS) as readers:
            yield from readers.map(field_of_view, images.variants)

    shape = (len(images.variants), 3)
    squares = cached_array(f"{images.cache_key}-squares", shape, rows, np.float32).astype(int).tolist()
    return np.stack(
        [
            place_labels(variant.lesions, variant.label, (left, top, length), edge)
            for variant, (left, top, length) in zip(images.variants, squares, strict=True)
        ]
    )


@lru_cache(maxsize=1)
def _images(store: ObjectStore, manifests: tuple[bytes, ...], preprocessing: Preprocessing) -> RunImages:
    shards = [parse_document("data_segmentation", manifest, Shard) for manifest in manifests]
    variants = tuple(variant for shard in shards for variant in shard.variants)
    sha256 = images_sha256(manifests)
    identity = f"{sha256} {preprocessing.model_dump_json()} {code_sha256()}"
    cache_key = sha256_hex(identity.encode())
    shape = (len(variants), 1, preprocessing.size, preprocessing.size)

    def read_input(variant: Variant) -> Float32Array:
        film, mask = read_segmented(store, variant)
        return network_input(film.pixels, mask, preprocessing)

    def rows() -> Iterator[Float32Array]:
        with ThreadPoolExecutor(READERS) as readers:
            yield from readers.map(read_input, variants)

    return RunImages(
        variants=variants,
        inputs=cached_array(cache_key, shape, rows, np.float32),
        cache_key=cache_key,
        sha256=sha256,
        set_aside={shard.shard: shard.set_aside for shard in shards if shard.set_aside},
    )


def _manifests(store: ObjectStore, plan: Plan) -> Iterator[bytes]:
    for unit in plan.units("segment"):
        try:
            yield store.get(unit.done_key)
        except ObjectNotFound:
            raise StoreUnavailable(
                f"{unit.done_key} is missing; if it is not being recreated, run `mammo resume {plan.run}`"
            ) from None


def _read_mask(store: ObjectStore, variant: Variant) -> "npt.NDArray[np.uint8]":
    if variant.mask_key is None or variant.mask_sha256 is None:
        raise StoreError(f"{variant.key} has no mask; run the segment stage first")
    return decode(_checked(store, variant.mask_key, variant.mask_sha256)).pixels.astype(np.uint8, copy=False)


def _checked(store: ObjectStore, key: str, sha256: str) -> bytes:
    """Read an object; raise StoreError if its digest is not `sha256`."""
    data = store.get(key)
    if sha256_hex(data) != sha256:
        raise StoreError(f"{key} is not what the segment worker wrote; `mammo resume RUN --verify` recreates it")
    return data
