"""The segment worker: segments a shard's images, stores films and masks, then the shard's manifest."""

import hashlib
from itertools import groupby

import cv2

from services.segment.core import segment_image
from shared.domain.films import Shard, Variant
from shared.errors import UndecodableImage
from shared.runs.plan import Plan
from shared.runs.shards import ShardInput, ShardStage
from shared.runs.tasks import ShardTask
from shared.settings import WorkerProcessSettings
from shared.store import layout
from shared.store.interface import ObjectStore
from shared.store.prefetch import ObjectAccess


def read_variants(store: ObjectStore, plan: Plan, shard: str) -> ShardInput[list[Variant]]:
    """Read the records of a shard's augmented images, by film."""
    document = store.get(layout.augmented_manifest(plan.dataset, plan.augmentation.id, shard))
    augmented = Shard.model_validate_json(document)
    films = {film: list(variants) for film, variants in groupby(augmented.variants, lambda variant: variant.film)}
    return ShardInput(films, hashlib.sha256(document).hexdigest(), augmented.set_aside)


def segment_film(files: ObjectAccess, plan: Plan, variants: list[Variant]) -> list[Variant]:
    """Segment all variants of a film, and store images and masks.

    Raises:
        ImageError: an image is damaged, or no breast is found in it.
    """
    return [_segment_variant(files, plan, variant) for variant in variants]


def _segment_variant(files: ObjectAccess, plan: Plan, variant: Variant) -> Variant:
    data = files.get(variant.key)
    if hashlib.sha256(data).hexdigest() != variant.sha256:
        raise UndecodableImage(
            f"{variant.key} is not what the augment worker wrote; `mammo resume {plan.run} --verify` makes it again, "
            f"then `mammo retry {plan.run}`"
        )
    segmented = segment_image(data, variant.bits, variant.view)
    place = (plan.dataset, plan.augmentation.segmented_id, variant.film, variant.variant)
    image_key, mask_key = layout.segmented_image(*place), layout.segmented_mask(*place)
    files.put(image_key, segmented.film_png)
    files.put(mask_key, segmented.mask_png)
    return variant.model_copy(
        update={
            "key": image_key,
            "sha256": hashlib.sha256(segmented.film_png).hexdigest(),
            "mask_key": mask_key,
            "mask_sha256": hashlib.sha256(segmented.mask_png).hexdigest(),
            "flipped": segmented.flipped,
            "lesions": tuple(
                lesion.mirrored(segmented.width) if segmented.flipped else lesion for lesion in variant.lesions
            ),
        }
    )


def read_by(_plan: Plan, variants: list[Variant]) -> tuple[str, ...]:
    """Return the keys that `segment_film` reads."""
    return tuple(variant.key for variant in variants)


SEGMENT = ShardStage("segment", lambda plan: plan.augmentation.segmented_id, read_variants, segment_film, read_by)


def unit_tasks(settings: WorkerProcessSettings) -> tuple[ShardTask]:
    """Set the threads of this process to its share of the cores, and return the kinds of units that it does."""
    cv2.setNumThreads(max(1, cv2.getNumberOfCPUs() // settings.worker.processes))
    return (ShardTask(SEGMENT, settings.worker.retries),)
