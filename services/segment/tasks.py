"""The segment worker: segments a shard's images, stores films and masks, then the shard's manifest."""

from itertools import groupby

import cv2

from services.segment.core import segment_image
from shared.digests import sha256_hex
from shared.domain.films import Shard, Variant
from shared.errors import UndecodableImage
from shared.runs.plan import Plan
from shared.runs.shards import ShardInput, ShardStage
from shared.runs.tasks import ShardTask
from shared.settings import WorkerProcessSettings
from shared.store import layout
from shared.store.documents import parse_document
from shared.store.interface import ObjectStore
from shared.store.prefetch import ObjectAccess


def read_variants(store: ObjectStore, plan: Plan, shard: str) -> ShardInput[list[Variant]]:
    """Read the records of a shard's augmented images, by film."""
    key = layout.augmented_manifest(plan.dataset, plan.augmentation.id, shard)
    document = store.get(key)
    augmented = parse_document(key, document, Shard)
    films = {film: list(variants) for film, variants in groupby(augmented.variants, lambda variant: variant.film)}
    return ShardInput(films, sha256_hex(document), augmented.set_aside)


def segment_film(files: ObjectAccess, plan: Plan, variants: list[Variant]) -> list[Variant]:
    """Segment all variants of a film, and store images and masks.

    Raises:
        ImageError: an image is damaged, or no breast is found in it.
    """
    return [_segment_variant(files, plan, variant) for variant in variants]


def _segment_variant(files: ObjectAccess, plan: Plan, variant: Variant) -> Variant:
    data = files.get(variant.key)
    if sha256_hex(data) != variant.sha256:
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
            "sha256": sha256_hex(segmented.film_png),
            "mask_key": mask_key,
            "mask_sha256": sha256_hex(segmented.mask_png),
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
