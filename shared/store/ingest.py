"""Ingest a data set: check everything, write films by digest, manifest last.

The data set exists once its manifest is written, conditionally and once; it names the digest of the content. So two
simultaneous ingests of one name do not overwrite each other's objects, and objects that no manifest names are removed.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from shared.datasets.entries import FilmSource, read_film, read_manifest
from shared.datasets.problems import Problem
from shared.digests import sha256_hex
from shared.domain.films import Dataset, Film, FilmShard, Manifest, describe
from shared.errors import DatasetError, ObjectNotFound, ObjectUnreadable, PreconditionFailed
from shared.store import layout
from shared.store.documents import read_document
from shared.store.interface import ObjectStore
from shared.store.unreferenced import remove_unreferenced

ProgressCallback = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is (0 while that is not known)."""

_CONTENT = re.compile(r"([0-9a-f]{64}/)?(films|manifests)/.*")


@dataclass(frozen=True)
class Ingested:
    """The ingested data set, its films, and the number of films that were written.

    The number is 0 if all films were in the store already.
    """

    dataset: Dataset
    manifest: Manifest
    written: int
    problems: tuple[Problem, ...] = ()


def ingest(
    store: ObjectStore, source: FilmSource, dataset: str, progress: ProgressCallback = lambda *_: None
) -> Ingested:
    """Write `raw/<dataset>/`; repeating it changes nothing or completes it.

    Raises:
        DatasetError: the source is invalid, or other films are stored under this name.
    """
    layout.check_name("data set", dataset)
    manifest = read_manifest(source, dataset, lambda done: progress("checking films", done, 0))
    description = describe(manifest)
    with suppress(ObjectNotFound, ObjectUnreadable):
        description = _same(read_dataset(store, dataset), description)
    written = _write_films(store, source, description, manifest, progress)
    description = write_manifests(store, description, manifest)
    return Ingested(description, manifest, written)


def _write_films(
    store: ObjectStore, source: FilmSource, dataset: Dataset, manifest: Manifest, progress: ProgressCallback
) -> int:
    """Store missing films and return their number.

    Raises:
        DatasetError: a film has changed meanwhile.
    """
    present = set(store.list(layout.raw_films(dataset.dataset, dataset.content)))
    films, written = {film.id: film for film in manifest.films}, 0
    for done, entry in enumerate(source.entries(), 1):
        film, data = films[entry.id], read_film(source, entry)
        key = film_key(dataset, film)
        if sha256_hex(data) != film.sha256:
            raise DatasetError(entry.file.name, "changed during ingestion; start again")
        if key not in present:
            store.put(key, data)
            written += 1
        progress("storing films", done, len(manifest.films))
    return written


def write_manifests(store: ObjectStore, dataset: Dataset, manifest: Manifest) -> Dataset:
    """Store the shards' manifests, then the manifest that makes the data set exist.

    Returns:
        The data set as stored; another ingest of the same films may have been faster.

    Raises:
        DatasetError: other films are stored under this name; what was written is removed.
    """
    if not _all_shards(store, dataset):
        _write_shards(store, dataset, manifest)
    try:
        store.put(layout.raw_manifest(dataset.dataset), dataset.model_dump_json(indent=1).encode(), if_absent=True)
        stored = dataset
    except PreconditionFailed:
        stored = _stored_or_replaced(store, dataset)
    named = tuple(part(stored.dataset, stored.content) for part in (layout.raw_films, layout.raw_manifests))
    remove_unreferenced(store, layout.raw(stored.dataset), named, _CONTENT)
    return _same(stored, dataset)


def _stored_or_replaced(store: ObjectStore, dataset: Dataset) -> Dataset:
    """Read the stored manifest; replace one that can't be read."""
    try:
        return read_dataset(store, dataset.dataset)
    except ObjectUnreadable:
        store.put(layout.raw_manifest(dataset.dataset), dataset.model_dump_json(indent=1).encode())
        return dataset


def _same(stored: Dataset, new: Dataset) -> Dataset:
    """Return `stored` if it has the same films.

    Raises:
        DatasetError: it has other films.
    """
    if stored.model_copy(update={"content": new.content}) != new:
        raise DatasetError(
            f"data set '{new.dataset}'", "the store holds other films under this name; choose another name"
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
    """Read the manifest of an ingested data set.

    Raises:
        InputError: `dataset` is not a valid name.
        ObjectNotFound: there is no such data set.
    """
    return read_document(store, layout.raw_manifest(layout.check_name("data set", dataset)), Dataset)


def stored_manifest(store: ObjectStore, dataset: str) -> Manifest:
    """All films of an ingested data set. Raises ObjectNotFound."""
    description = read_dataset(store, dataset)
    names = shard_names(description.films, description.shard_films)
    shards = [read_document(store, shard_key(description, name), FilmShard) for name in names]
    films = tuple(film for shard in shards for film in shard.films)
    return Manifest(
        dataset=dataset,
        synthetic=description.synthetic,
        terms=description.terms,
        labelling=description.labelling,
        films=films,
    )


def film_key(dataset: Dataset, film: Film) -> str:
    """Return the key of a film of an ingested data set."""
    if film.key is not None:
        return f"{layout.raw(dataset.dataset)}{film.key}"
    return layout.raw_film(dataset.dataset, dataset.content, film.id)


def shard_key(dataset: Dataset, shard: str) -> str:
    """Return the key of the manifest of a shard."""
    return layout.raw_shard(dataset.dataset, dataset.content, shard)


def shard_names(films: int, shard_films: int) -> Iterator[str]:
    """Yield the names of the shards of `films` films, in order."""
    return (f"{number:06d}" for number in range(-(-films // shard_films)))
