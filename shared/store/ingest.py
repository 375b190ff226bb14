"""Brings a data set into the store: all is checked first, then written below its digest, and last the manifest.

The manifest makes the data set exist. It is written once, by a condition, and names the digest of the content. So of
two ingests of one name at once neither writes over the other's objects, and what no manifest names is removed.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from shared.datasets.sources import FilmSource
from shared.domain.films import Dataset, FilmShard, Manifest, describe
from shared.errors import DatasetError, ObjectNotFound, PreconditionFailed
from shared.store import layout
from shared.store.interface import ObjectStore
from shared.store.unnamed import remove_unnamed

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is (0 while that is not known)."""

_CONTENT = re.compile(r"([0-9a-f]{64}/)?(films|manifests)/.*")


@dataclass(frozen=True)
class Ingested:
    """What the data set is, its films, and how many of them had to be written (0 when all were there already)."""

    dataset: Dataset
    manifest: Manifest
    written: int


def ingest(store: ObjectStore, source: FilmSource, dataset: str, progress: Progress = lambda *_: None) -> Ingested:
    """Writes `raw/<dataset>/`; doing it again changes nothing, and completes what was interrupted.

    Raises:
        DatasetError: the source is not right, or other films are stored under this name, meanwhile perhaps.
    """
    layout.check_name("data set", dataset)
    manifest = source.manifest(dataset, lambda done: progress("checking films", done, 0))
    description = describe(manifest)
    with suppress(ObjectNotFound):
        description = _same(read_dataset(store, dataset), description)
    written = _write_films(store, source, description, manifest, progress)
    description = write_manifests(store, description, manifest)
    return Ingested(description, manifest, written)


def _write_films(
    store: ObjectStore, source: FilmSource, dataset: Dataset, manifest: Manifest, progress: Progress
) -> int:
    """Store the films that are not there and return how many. Raises DatasetError when one has changed meanwhile."""
    present = set(store.list(layout.raw_films(dataset.dataset, dataset.content)))
    digests, written = {film.id: film.sha256 for film in manifest.films}, 0
    for done, image in enumerate(source.images(), 1):
        key = film_key(dataset, image.film)
        if hashlib.sha256(image.data).hexdigest() != digests[image.film]:
            raise DatasetError(image.name, "changed while it was being ingested; start again")
        if key not in present:
            store.put(key, image.data)
            written += 1
        progress("storing films", done, len(manifest.films))
    return written


def write_manifests(store: ObjectStore, dataset: Dataset, manifest: Manifest) -> Dataset:
    """Stores what is known of the films, shard by shard, and last what makes the data set exist.

    Returns the data set as it is stored: another ingest of the same films may have been faster.

    Raises:
        DatasetError: other films are stored under this name; what was written of these is removed.
    """
    if not _all_shards(store, dataset):
        _write_shards(store, dataset, manifest)
    try:
        store.put(layout.raw_manifest(dataset.dataset), dataset.model_dump_json(indent=1).encode(), if_absent=True)
        stored = dataset
    except PreconditionFailed:
        stored = read_dataset(store, dataset.dataset)
    named = tuple(part(stored.dataset, stored.content) for part in (layout.raw_films, layout.raw_manifests))
    remove_unnamed(store, layout.raw(stored.dataset), named, _CONTENT)
    return _same(stored, dataset)


def _same(stored: Dataset, wanted: Dataset) -> Dataset:
    """`stored`, if it is of the same films. Raises DatasetError."""
    if stored.model_copy(update={"content": wanted.content}) != wanted:
        raise DatasetError(
            f"data set '{wanted.dataset}'", "the store holds other films under this name; choose another name"
        )
    return stored


def _write_shards(store: ObjectStore, dataset: Dataset, manifest: Manifest) -> None:
    for number, name in enumerate(shard_names(dataset.films, dataset.shard_films)):
        first = number * dataset.shard_films
        shard = FilmShard(films=manifest.films[first : first + dataset.shard_films])
        store.put(shard_key(dataset, name), shard.model_dump_json(indent=1).encode())


def _all_shards(store: ObjectStore, dataset: Dataset) -> bool:
    wanted = {shard_key(dataset, name) for name in shard_names(dataset.films, dataset.shard_films)}
    return wanted <= set(store.list(layout.raw_manifests(dataset.dataset, dataset.content)))


def read_dataset(store: ObjectStore, dataset: str) -> Dataset:
    """What an ingested data set is.

    Raises:
        InputError: `dataset` can't be the name of a data set.
        ObjectNotFound: there is none of this name.
    """
    return Dataset.model_validate_json(store.get(layout.raw_manifest(layout.check_name("data set", dataset))))


def stored_manifest(store: ObjectStore, dataset: str) -> Manifest:
    """All films of an ingested data set. Raises ObjectNotFound."""
    description = read_dataset(store, dataset)
    names = shard_names(description.films, description.shard_films)
    shards = [FilmShard.model_validate_json(store.get(shard_key(description, name))) for name in names]
    films = tuple(film for shard in shards for film in shard.films)
    return Manifest(dataset=dataset, synthetic=description.synthetic, films=films)


def film_key(dataset: Dataset, film: str) -> str:
    """Where a film of an ingested data set is."""
    return layout.raw_film(dataset.dataset, dataset.content, film)


def shard_key(dataset: Dataset, shard: str) -> str:
    """Where it says what is known of the films of a shard."""
    return layout.raw_shard(dataset.dataset, dataset.content, shard)


def shard_names(films: int, shard_films: int) -> Iterator[str]:
    """The names of the shards of so many films, in order."""
    return (f"{number:06d}" for number in range(-(-films // shard_films)))
