"""The augment worker: reads the films of a shard, stores their variants, and last the shard's manifest."""

import hashlib

from services.augment.core import apply_transform, carry_lesions, draw_transform
from shared.datasets.manifest import Film, Shard, Variant
from shared.imaging.decode import decode, encode_png, to_8bit
from shared.queue.plan import Plan
from shared.queue.worker import make_app, unit_task
from shared.settings import settings
from shared.store import keys
from shared.store.ingest import read_dataset
from shared.store.objects import ObjectStore

app = make_app(settings())


@unit_task(app, "augment")
def augment_shard(store: ObjectStore, plan: Plan, shard: str) -> None:
    """Stores all variants of the films of `shard` under the recipe's prefix."""
    films = plan.shard_films(shard, read_dataset(store, plan.dataset).films)
    variants = [variant for film in films for variant in _augment_film(store, plan, film)]
    manifest = Shard(dataset=plan.dataset, recipe=plan.augmentation.id, shard=shard, variants=tuple(variants))
    key = keys.augmented_manifest(plan.dataset, plan.augmentation.id, shard)
    store.put(key, manifest.model_dump_json().encode())


def _augment_film(store: ObjectStore, plan: Plan, film: Film) -> list[Variant]:
    recipe = plan.augmentation
    pixels = to_8bit(decode(store.get(keys.raw_film(plan.dataset, film.id))))
    variants = []
    for number in range(recipe.variants):
        transform = draw_transform(recipe, film.id, number, film.width, film.height)
        image = encode_png(apply_transform(pixels, transform))
        key = keys.augmented_image(plan.dataset, recipe.id, film.id, number)
        store.put(key, image)
        variants.append(
            Variant(
                film=film.id,
                patient=film.patient,
                side=film.side,
                density=film.density,
                label=film.label,
                variant=number,
                transform=transform,
                lesions=carry_lesions(film.lesions, transform, film.width, film.height),
                key=key,
                sha256=hashlib.sha256(image).hexdigest(),
            )
        )
    return variants
