"""The segment worker: reads the augmented films of a shard, stores film and mask, and last the shard's manifest."""

import hashlib

from services.segment.core import SegmentedImage, segment_image
from shared.datasets.manifest import Lesion, Shard, Variant
from shared.errors import UndecodableImage
from shared.queue.plan import Plan
from shared.queue.worker import make_app, unit_task
from shared.settings import settings
from shared.store import keys
from shared.store.objects import ObjectStore

app = make_app(settings())


@unit_task(app, "segment")
def segment_shard(store: ObjectStore, plan: Plan, shard: str) -> None:
    """Stores the segmented film and the mask of every variant of `shard`."""
    augmented = keys.augmented_manifest(plan.dataset, plan.augmentation.id, shard)
    source = Shard.model_validate_json(store.get(augmented))
    recipe = plan.augmentation.segmented_id
    variants = tuple(_segment_variant(store, plan, variant) for variant in source.variants)
    manifest = Shard(dataset=plan.dataset, recipe=recipe, shard=shard, variants=variants)
    store.put(keys.segmented_manifest(plan.dataset, recipe, shard), manifest.model_dump_json().encode())


def _segment_variant(store: ObjectStore, plan: Plan, variant: Variant) -> Variant:
    data = store.get(variant.key)
    if hashlib.sha256(data).hexdigest() != variant.sha256:
        raise UndecodableImage(f"{variant.key} is not what the augment worker wrote; delete its shard and resume")
    segmented = segment_image(data)
    place = (plan.dataset, plan.augmentation.segmented_id, variant.film, variant.variant)
    image_key, mask_key = keys.segmented_image(*place), keys.segmented_mask(*place)
    store.put(image_key, segmented.film_png)
    store.put(mask_key, segmented.mask_png)
    return variant.model_copy(
        update={
            "key": image_key,
            "sha256": hashlib.sha256(segmented.film_png).hexdigest(),
            "mask_key": mask_key,
            "mask_sha256": hashlib.sha256(segmented.mask_png).hexdigest(),
            "flipped": segmented.flipped,
            "lesions": _oriented(variant.lesions, segmented),
        }
    )


def _oriented(lesions: tuple[Lesion, ...], segmented: SegmentedImage) -> tuple[Lesion, ...]:
    return tuple(
        lesion.model_copy(update={"x": segmented.width - lesion.x})
        if segmented.flipped and lesion.x is not None
        else lesion
        for lesion in lesions
    )
