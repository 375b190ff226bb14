"""Brings a data set into the store: everything is checked first, and the manifest, which makes it exist, comes last."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared.datasets.manifest import Dataset, FilmShard, Manifest, describe
from shared.datasets.sources import FilmSource
from shared.errors import DatasetError, ObjectNotFound
from shared.store import keys
from shared.store.objects import ObjectStore

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is (0 while that is not known)."""


@dataclass(frozen=True)
class Ingested:
    """What the data set is, its films, and how many of them had to be written (0 when all were there already)."""

    dataset: Dataset
    manifest: Manifest
    written: int


def ingest(store: ObjectStore, source: FilmSource, dataset: str, progress: Progress = lambda *_: None) -> Ingested:
    """Writes `raw/<dataset>/`; doing it again changes nothing, and completes what was interrupted.

    Raises:
        DatasetError: the source is not right, or other films are already stored under this name.
    """
    keys.check_name("data set", dataset)
    manifest = source.manifest(dataset, lambda done: progress("checking films", done, 0))
    description = describe(manifest)
    try:
        stored = read_dataset(store, dataset)
    except ObjectNotFound:
        stored = None
    if stored not in (None, description):
        raise DatasetError(f"data set '{dataset}'", "the store holds other films under this name; choose another name")
    present = set(store.list(keys.raw_films(dataset))) if stored else set()
    written = 0
    digests = {film.id: film.sha256 for film in manifest.films}
    for done, image in enumerate(source.images(), 1):
        key = keys.raw_film(dataset, image.film)
        if hashlib.sha256(image.data).hexdigest() != digests[image.film]:
            raise DatasetError(image.name, "changed while it was being ingested; start again")
        if key not in present:
            store.put(key, image.data)
            written += 1
        progress("storing films", done, len(manifest.films))
    if stored is None:
        write_manifests(store, description, manifest)
    elif not _all_shards(store, description):
        _write_shards(store, description, manifest)
    return Ingested(description, manifest, written)


def write_manifests(store: ObjectStore, dataset: Dataset, manifest: Manifest) -> None:
    """Stores what is known of the films, shard by shard, and last what makes the data set exist.

    Raises:
        PreconditionFailed: there is a data set of this name.
    """
    _write_shards(store, dataset, manifest)
    store.put(keys.raw_manifest(dataset.dataset), dataset.model_dump_json(indent=1).encode(), if_absent=True)


def _write_shards(store: ObjectStore, dataset: Dataset, manifest: Manifest) -> None:
    for number, name in enumerate(shard_names(dataset.films, dataset.shard_films)):
        first = number * dataset.shard_films
        shard = FilmShard(films=manifest.films[first : first + dataset.shard_films])
        store.put(keys.raw_shard(dataset.dataset, name), shard.model_dump_json(indent=1).encode())


def _all_shards(store: ObjectStore, dataset: Dataset) -> bool:
    wanted = {keys.raw_shard(dataset.dataset, name) for name in shard_names(dataset.films, dataset.shard_films)}
    return wanted <= set(store.list(keys.raw_manifests(dataset.dataset)))


def read_dataset(store: ObjectStore, dataset: str) -> Dataset:
    """What an ingested data set is. Raises ObjectNotFound."""
    return Dataset.model_validate_json(store.get(keys.raw_manifest(dataset)))


def stored_manifest(store: ObjectStore, dataset: str) -> Manifest:
    """All films of an ingested data set. Raises ObjectNotFound."""
    description = read_dataset(store, dataset)
    names = shard_names(description.films, description.shard_films)
    shards = [FilmShard.model_validate_json(store.get(keys.raw_shard(dataset, name))) for name in names]
    films = tuple(film for shard in shards for film in shard.films)
    return Manifest(dataset=dataset, synthetic=description.synthetic, films=films)


def shard_names(films: int, shard_films: int) -> Iterator[str]:
    """The names of the shards of so many films, in order."""
    return (f"{number:06d}" for number in range(-(-films // shard_films)))
