"""Network inputs from the segmented films of a run, cached for the next job (`array_cache`).

Inputs of a large data set are rounded to as many bits as its films have, 8 or 16, and stored by shard (`shard_inputs`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from sys import intern
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from services.train.data.array_cache import cached_array
from services.train.data.examples import Depth, Examples, StoredInputs, as_floats, rounded
from services.train.data.lesion_targets import PlaceLabels, place_labels
from services.train.data.ordered import in_order
from services.train.data.provenance import code_sha256
from services.train.data.shard_inputs import shard_inputs
from services.train.jobs import TrainingJob
from shared.datasets.splits import Split, official_split, paper_split, patient_split
from shared.digests import sha256_hex
from shared.domain.arrays import Float32Array, Int64Array
from shared.domain.films import SetAside, Shard, Transform, Variant
from shared.domain.records import CLASSES
from shared.errors import ObjectNotFound, StoreError, StoreUnavailable
from shared.imaging.formats.decode import decode
from shared.imaging.image import Image, with_depth
from shared.imaging.preprocess import Preprocessing, input_square, network_input
from shared.runs.plan import Plan, Unit
from shared.store import layout
from shared.store.documents import parse_document
from shared.store.interface import ObjectStore

READERS = 4
_MANIFEST_READERS = 16
_UNCHANGED = Transform()
_ALL_FIELDS = set(Variant.model_fields)
_SHARED = frozenset(("patient", "side"))
"""Text of which many images have the same."""

DIVISION_SEED_STEP = 1000
"""Between the seeds of two divisions into folds, so that no fold of one has the seed of another's."""


@dataclass(frozen=True)
class RunImages:
    """All segmented images of a run: `inputs[i]` (1 x S x S, memory-mapped) belongs to `variants[i]`.

    `inputs` are as they are stored; `read` returns them as floats. `cache_key` is a digest of everything that the
    inputs are computed from, `sha256` that of their manifests. `set_aside` are the films that are missing, by shard.
    """

    variants: tuple[Variant, ...]
    inputs: StoredInputs
    cache_key: str
    sha256: str
    set_aside: dict[str, tuple[SetAside, ...]]

    @property
    def labels(self) -> Int64Array:
        """The class index of each image."""
        return np.array([CLASSES.index(variant.label) for variant in self.variants], np.int64)

    def read(self, indices: "npt.NDArray[np.intp]") -> Float32Array:
        """Return the inputs at `indices`, float32 n x 1 x S x S in [0, 1]."""
        return np.asarray(as_floats(self.inputs[indices]), np.float32)

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
    shards = _read_shards(store, plan)
    cache_key = sha256_hex(f"{shards.sha256} {preprocessing.model_dump_json()} {code_sha256()}".encode())

    def prepared(variant: Variant) -> Float32Array:
        film, mask = read_segmented(store, variant)
        return network_input(film.pixels, mask, preprocessing)

    def of_shard(part: tuple[str, slice]) -> StoredInputs:
        key, chosen = layout.run_inputs(plan.run, cache_key, part[0]), shards.variants[part[1]]
        shape = (len(chosen), *edges)
        return shard_inputs(store, key, shape, depth, lambda: rounded(np.stack([*map(prepared, chosen)]), depth))

    def rows() -> Iterator[StoredInputs]:
        if not plan.large:
            return in_order(prepared, shards.variants, READERS)
        return chain.from_iterable(in_order(of_shard, shards.parts, READERS))

    edges, depth = (1, preprocessing.size, preprocessing.size), _depth(shards.variants)
    return RunImages(
        variants=shards.variants,
        inputs=cached_array(cache_key, (len(shards.variants), *edges), rows, depth if plan.large else np.float32),
        cache_key=cache_key,
        sha256=shards.sha256,
        set_aside=shards.set_aside,
    )


def job_split(images: Sequence[Variant], plan: Plan, job: TrainingJob) -> Split:
    """Split images into training, validation and test.

    Folds beyond the plan's `folds` belong to its repeats, each with another division of the patients.
    """
    if job.protocol == "paper":
        return paper_split(images, plan.seed)
    repeat, fold = divmod(job.fold, plan.folds)
    split = official_split if job.protocol == "official" else patient_split
    return split(images, plan.folds, fold, plan.seed + DIVISION_SEED_STEP * repeat)


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
        return in_order(field_of_view, images.variants, READERS)

    shape = (len(images.variants), 3)
    squares = cached_array(f"{images.cache_key}-squares", shape, rows, np.float32).astype(int).tolist()
    return np.stack(
        [
            place_labels(variant.lesions, variant.label, (left, top, length), edge)
            for variant, (left, top, length) in zip(images.variants, squares, strict=True)
        ]
    )


class _Shards(NamedTuple):
    """What the manifests of a run's segmented images say: `parts` are the places of each shard's images."""

    variants: tuple[Variant, ...]
    parts: tuple[tuple[str, slice], ...]
    set_aside: dict[str, tuple[SetAside, ...]]
    sha256: str


def _read_shards(store: ObjectStore, plan: Plan) -> _Shards:
    """Read the manifests of all shards; one after the other is in memory as text."""
    variants: list[Variant] = []
    parts: list[tuple[str, slice]] = []
    set_aside: dict[str, tuple[SetAside, ...]] = {}
    digest = hashlib.sha256()

    def read(unit: Unit) -> bytes:
        try:
            return store.get(unit.done_key)
        except ObjectNotFound:
            raise StoreUnavailable(
                f"{unit.done_key} is missing; if it is not being recreated, run `mammo resume {plan.run}`"
            ) from None

    for manifest in in_order(read, plan.units("segment"), _MANIFEST_READERS):
        digest.update(manifest)
        shard = parse_document("data_segmentation", manifest, Shard)
        if shard.variants:
            parts.append((shard.shard, slice(len(variants), len(variants) + len(shard.variants))))
        variants += map(_lean, shard.variants)
        if shard.set_aside:
            set_aside[shard.shard] = shard.set_aside
    return _Shards(tuple(variants), tuple(parts), set_aside, digest.hexdigest())


def _lean(variant: Variant) -> Variant:
    """Return a variant that takes half of the memory: it shares what is the same in most of them."""
    values: dict[str, Any] = {name: intern(value) if name in _SHARED else value for name, value in variant}
    if variant.transform == _UNCHANGED:
        values["transform"] = _UNCHANGED
    return Variant.model_construct(_ALL_FIELDS, **values)


def _depth(variants: Iterable[Variant]) -> Depth:
    """Return the type of as many bits as the deepest film has; of unknown depth are 16 bits."""
    return np.uint8 if max((variant.bits or 16 for variant in variants), default=16) <= 8 else np.uint16


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
