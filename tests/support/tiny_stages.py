"""The stages augment and segment on images of a few bytes, over a data set behind which there are no films."""

import hashlib
from itertools import groupby
from typing import Any

from shared.domain.films import Film, FilmShard, Shard, Transform, Variant, describe
from shared.runs.plan import Plan
from shared.runs.shards import ShardInput, ShardStage
from shared.store import layout
from shared.store.documents import parse_document
from shared.store.ingest import read_dataset, shard_key, write_manifests
from shared.store.interface import ObjectStore
from shared.store.prefetch import ObjectAccess
from tests.support.builders import do, small_manifest


def stored(store: ObjectStore, plan: Plan) -> Plan:
    """Stores what is known of the films of the plan."""
    manifest = small_manifest(plan.films)
    write_manifests(store, describe(manifest), manifest)
    return plan


def read_films(store: ObjectStore, plan: Plan, shard: str) -> ShardInput[Film]:
    key = shard_key(read_dataset(store, plan.dataset), shard)
    document = store.get(key)
    films = parse_document(key, document, FilmShard).films
    return ShardInput({film.id: film for film in films}, sha256(document))


def augment(store: ObjectAccess, plan: Plan, film: Film) -> list[Variant]:
    known = film.model_dump(include={"patient", "side", "density", "label", "lesions"})
    variants = []
    for number in range(2):
        key, image = layout.augmented_image(plan.dataset, plan.augmentation.id, film.id, number), f"{film.id} {number}"
        store.put(key, image.encode())
        digest = sha256(image.encode())
        variants.append(
            Variant(**known, film=film.id, variant=number, transform=Transform(), key=key, sha256=digest)
        )  # fmt: skip
    return variants


def read_variants(store: ObjectStore, plan: Plan, shard: str) -> ShardInput[list[Variant]]:
    key = layout.augmented_manifest(plan.dataset, plan.augmentation.id, shard)
    document = store.get(key)
    augmented = parse_document(key, document, Shard)
    films = {film: list(variants) for film, variants in groupby(augmented.variants, lambda variant: variant.film)}
    return ShardInput(films, sha256(document), augmented.set_aside)


def segment(store: ObjectAccess, plan: Plan, variants: list[Variant]) -> list[Variant]:
    return [_segment(store, plan, variant) for variant in variants]


def _segment(store: ObjectAccess, plan: Plan, variant: Variant) -> Variant:
    place = (plan.dataset, plan.augmentation.segmented_id, variant.film, variant.variant)
    image, mask = store.get(variant.key), f"mask of {variant.id}".encode()
    key, mask_key = layout.segmented_image(*place), layout.segmented_mask(*place)
    store.put(key, image)
    store.put(mask_key, mask)
    changes = {"key": key, "sha256": sha256(image), "mask_key": mask_key, "mask_sha256": sha256(mask)}
    return variant.model_copy(update=changes)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


AUGMENT = ShardStage("augment", lambda plan: plan.augmentation.id, read_films, augment)
SEGMENT = ShardStage("segment", lambda plan: plan.augmentation.segmented_id, read_variants, segment)


def do_films(store: ObjectStore, plan: Plan) -> None:
    """Does all shards of both stages."""
    for name in plan.names("augment"):
        do(AUGMENT, store, plan, name)
        do(SEGMENT, store, plan, name)


def shard_of(store: ObjectStore, way: ShardStage[Any], plan: Plan, name: str) -> Shard:
    return Shard.model_validate_json(store.get(plan.done_key(way.stage, name)))
