"""Reads the segmented films of a run as network inputs. They are kept for the next job (`array_cache`)."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from services.train.data.array_cache import filled
from services.train.data.examples import Examples
from services.train.data.lesion_targets import Places, places_of
from services.train.data.provenance import code_sha256
from services.train.jobs import Job
from shared.datasets.splits import Split, paper_split, patient_split
from shared.domain.arrays import Float32Array
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
NEXT_DIVISION = 1000
"""Between the seeds of two divisions, so that no fold of one has the seed of another's."""


@dataclass(frozen=True)
class Images:
    """All segmented images of a run, `inputs[i]` (float32 1 x S x S) being that of `variants[i]`.

    `name` is the digest of all that decides the inputs, `sha256` that of the manifests that they come from; `set_aside`
    holds, for each shard, the films that are missing.
    """

    variants: tuple[Variant, ...]
    inputs: Float32Array
    name: str
    sha256: str
    set_aside: dict[str, tuple[SetAside, ...]]

    def examples(self, indices: "npt.NDArray[np.intp]") -> Examples:
        labels = [CLASSES.index(self.variants[index].label) for index in indices]
        return Examples(self.inputs, np.array(labels, np.int64), indices)


def load_images(store: ObjectStore, plan: Plan, preprocessing: Preprocessing) -> Images:
    """Fetches and prepares every segmented image of a run.

    Raises:
        StoreUnavailable: a shard is being made again just now.
        StoreError: an image is not the one that its manifest names.
    """
    return _images(store, tuple(_manifests(store, plan)), preprocessing)


@lru_cache(maxsize=1)
def _images(store: ObjectStore, manifests: tuple[bytes, ...], preprocessing: Preprocessing) -> Images:
    shards = [parse_document("data_segmentation", manifest, Shard) for manifest in manifests]
    variants = tuple(variant for shard in shards for variant in shard.variants)
    sha256 = images_sha256(manifests)
    decides = f"{sha256} {preprocessing.model_dump_json()} {code_sha256()}"
    name = hashlib.sha256(decides.encode()).hexdigest()
    shape = (len(variants), 1, preprocessing.size, preprocessing.size)

    def rows() -> Iterator[Float32Array]:
        with ThreadPoolExecutor(READERS) as readers:
            yield from readers.map(_reader(store, preprocessing), variants)

    return Images(
        variants=variants,
        inputs=filled(name, shape, rows, np.float32),
        name=name,
        sha256=sha256,
        set_aside={shard.shard: shard.set_aside for shard in shards if shard.set_aside},
    )


def job_split(images: Sequence[Variant], plan: Plan, job: Job) -> Split:
    """Who trains, validates and is held out in a job. Jobs beyond the plan's folds divide the patients anew."""
    if job.protocol == "paper":
        return paper_split(images, plan.seed)
    repeat, fold = divmod(job.fold, plan.folds)
    return patient_split(images, plan.folds, fold, plan.seed + NEXT_DIVISION * repeat)


def _manifests(store: ObjectStore, plan: Plan) -> Iterator[bytes]:
    for unit in plan.units("segment"):
        try:
            yield store.get(unit.done_key)
        except ObjectNotFound:
            raise StoreUnavailable(
                f"{unit.done_key} is missing; if it is not being recreated, run `mammo resume {plan.run}`"
            ) from None


def read_segmented(store: ObjectStore, variant: Variant) -> tuple[Image, "npt.NDArray[np.uint8]"]:
    """A segmented film (H x W) and its mask (255 inside). Raises StoreError: it is not what its manifest names."""
    film = with_depth(decode(_checked(store, variant.key, variant.sha256)), variant.bits)
    return film, _read_mask(store, variant)


def lesion_places(store: ObjectStore, images: Images, edge: int) -> Places:
    """What lies at each place of the feature maps (int8 N x edge x edge) of all images, as far as circles tell."""

    def square(variant: Variant) -> Float32Array:
        box = cv2.boundingRect(_read_mask(store, variant))
        return np.array(input_square((box[0], box[1], box[2], box[3])), np.float32)

    def squares() -> Iterator[Float32Array]:
        with ThreadPoolExecutor(READERS) as readers:
            yield from readers.map(square, images.variants)

    seen = filled(f"{images.name}-squares", (len(images.variants), 3), squares, np.float32).astype(int).tolist()
    placed = zip(images.variants, seen, strict=True)
    return np.stack([places_of(image.lesions, image.label, (x, y, length), edge) for image, (x, y, length) in placed])


def _read_mask(store: ObjectStore, variant: Variant) -> "npt.NDArray[np.uint8]":
    if variant.mask_key is None or variant.mask_sha256 is None:
        raise StoreError(f"{variant.key} has no mask; run the segment stage first")
    return decode(_checked(store, variant.mask_key, variant.mask_sha256)).pixels.astype(np.uint8, copy=False)


def _reader(store: ObjectStore, preprocessing: Preprocessing) -> Callable[[Variant], Float32Array]:
    def read(variant: Variant) -> Float32Array:
        film, mask = read_segmented(store, variant)
        return network_input(film.pixels, mask, preprocessing)

    return read


def _checked(store: ObjectStore, key: str, sha256: str) -> bytes:
    data = store.get(key)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StoreError(f"{key} is not what the segment worker wrote; `mammo resume RUN --verify` makes it again")
    return data
