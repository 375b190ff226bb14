"""The augment worker: creates and stores the variants of a shard's films, then the shard's manifest."""

from typing import NamedTuple

import cv2

from services.augment.core import apply_transform, carry_lesions, draw_transform
from shared import metrics
from shared.digests import sha256_hex
from shared.domain.films import Film, FilmShard, Variant
from shared.errors import UndecodableImage
from shared.imaging.formats.decode import decode, encode_png
from shared.ingests.units import IngestTask
from shared.queue.store_gauges import StoreGauge
from shared.runs.plan import Plan
from shared.runs.shards import ShardInput, ShardStage
from shared.runs.sources import stored_dataset
from shared.runs.tasks import ShardTask
from shared.runs.unattended import unattended_runs
from shared.settings import AugmentProcessSettings
from shared.store import layout
from shared.store.documents import parse_document
from shared.store.ingest import film_key, read_dataset, shard_key
from shared.store.interface import ObjectStore
from shared.store.prefetch import ObjectAccess


class StoredFilm(NamedTuple):
    """A film of the data set, and the key of its file."""

    film: Film
    key: str


def read_films(store: ObjectStore, plan: Plan, shard: str) -> ShardInput[StoredFilm]:
    """Read the records of a shard's films."""
    dataset = stored_dataset(store, plan) or read_dataset(store, plan.dataset)
    key = shard_key(dataset, shard)
    document = store.get(key)
    films = parse_document(key, document, FilmShard).films
    stored = {film.id: StoredFilm(film, film_key(dataset, film)) for film in films}
    return ShardInput(stored, sha256_hex(document))


def augment_film(files: ObjectAccess, plan: Plan, stored: StoredFilm) -> list[Variant]:
    """Create and store all variants of a film.

    Raises:
        ImageError: the film can't be decoded, or is not the one that was ingested.
    """
    film, recipe, recipe_id = stored.film, plan.augmentation, plan.augmentation.id
    data = files.get(stored.key)
    if sha256_hex(data) != film.sha256:
        raise UndecodableImage(f"film {film.id} is not what was ingested; restore it, then `mammo retry {plan.run}`")
    original = decode(data)
    variants = []
    for number in range(recipe.variants):
        transform = draw_transform(recipe, film.id, number, film.width, film.height)
        image = encode_png(apply_transform(original.pixels, transform, original.bits))
        key = layout.augmented_image(plan.dataset, recipe_id, film.id, number)
        files.put(key, image)
        variants.append(
            Variant(
                **{**film.exposure, "bits": original.bits},
                film=film.id,
                patient=film.patient,
                side=film.side,
                density=film.density,
                label=film.label,
                variant=number,
                transform=transform,
                lesions=carry_lesions(film.lesions, transform, film.width, film.height),
                key=key,
                sha256=sha256_hex(image),
            )
        )
    return variants


def read_by(_plan: Plan, stored: StoredFilm) -> tuple[str]:
    """Return the keys that `augment_film` reads."""
    return (stored.key,)


AUGMENT = ShardStage("augment", lambda plan: plan.augmentation.id, read_films, augment_film, read_by)

_finished: set[str] = set()
GAUGES = (StoreGauge(metrics.RUNS_UNATTENDED, lambda store, broker: len(unattended_runs(store, broker, _finished))),)


def unit_tasks(settings: AugmentProcessSettings) -> tuple[ShardTask, IngestTask]:
    """Set the threads of this process to its share of the cores, and return the kinds of units that it does."""
    cv2.setNumThreads(max(1, cv2.getNumberOfCPUs() // settings.worker.processes))
    return ShardTask(AUGMENT, settings.worker.retries), IngestTask(settings.ingest)
