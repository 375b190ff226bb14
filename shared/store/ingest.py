"""Ingest a data set: its films in units, then what is known of them in shards, and the manifest last.

The data set exists once its manifest is written, conditionally; it names where its films and shards are. Later films
make a new version of it: the manifest is replaced only if it is the one that the ingest began with. Of two ingests at
once one loses, and says so; one that makes a version removes the objects that no manifest names.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

from shared.datasets.entries import FilmSource, manifest_of
from shared.datasets.problems import SourceProblem
from shared.domain.films import Dataset, Film, FilmShard, Manifest, describe, grown
from shared.errors import DatasetError, ObjectNotFound, ObjectUnreadable, PreconditionFailed
from shared.store import layout
from shared.store.documents import document, parse_document, read_document
from shared.store.ingest_units import (
    UNIT_FILMS,
    Ingestion,
    UnitResult,
    do_unit,
    film_key,
    finished_unit,
    ingestion_of,
    problems_of,
)
from shared.store.interface import ObjectStore
from shared.store.unreferenced import remove_unreferenced

__all__ = ["film_key", "films_of", "ingest", "read_dataset", "read_manifest", "stored_manifest", "write_manifests"]

ProgressCallback = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is (0 while that is not known)."""

_CONTENT = re.compile(r"([0-9a-f]{64}/)?(films|manifests|units)/.*")
_DOING = "ingesting films"
_REQUESTS = 8
"""Requests at a time for what is known of films."""


@dataclass(frozen=True)
class Ingested:
    """The ingested data set, its films, and the number of films that were written.

    The number is 0 if all films were in the store already. `problems` names films that can't be used, and what had to
    be settled for others.
    """

    dataset: Dataset
    manifest: Manifest
    written: int
    problems: tuple[SourceProblem, ...] = ()


@dataclass(frozen=True)
class StoredDataset:
    """A data set as an ingest found it: its manifest with the etag, and its films."""

    dataset: Dataset
    etag: str
    films: tuple[Film, ...]


def ingest(
    store: ObjectStore,
    source: FilmSource,
    dataset: str,
    progress: ProgressCallback = lambda *_: None,
    *,
    strict: bool = False,
    append: bool = False,
) -> Ingested:
    """Write `raw/<dataset>/`; repeating it changes nothing or completes it, and new films make a new version.

    Args:
        strict: one film that can't be used ends it, and nothing becomes a data set.
        append: the source has new films only; those that are stored are kept.

    Raises:
        DatasetError: the source is invalid, or other films are stored under this name.
    """
    layout.check_name("data set", dataset)
    stored = read_stored(store, dataset)
    ingestion = begin(store, source, dataset, stored, strict=strict)
    results, written = _do_units(store, ingestion, progress)
    return finish(store, ingestion, stored, results, written, append=append)


def read_stored(store: ObjectStore, dataset: str) -> StoredDataset | None:
    """Read a data set as it is before an ingest; None if there is none."""
    try:
        found = store.read(layout.raw_manifest(dataset))
    except ObjectNotFound:
        return None
    try:
        description = parse_document(layout.raw_manifest(dataset), found.data, Dataset)
    except ObjectUnreadable:  # it is replaced
        return None
    try:
        films = films_of(store, description)
    except (ObjectNotFound, ObjectUnreadable):  # a shard got lost: it is made again if the source has the same films
        films = ()
    return StoredDataset(description, found.etag, films)


def begin(
    store: ObjectStore, source: FilmSource, dataset: str, stored: StoredDataset | None, *, strict: bool = False
) -> Ingestion:
    """Read the entries of a source, and which films are stored.

    Raises:
        DatasetError: the source is not a data set, or holds no film.
    """
    present = frozenset(key for key in store.list(layout.raw(dataset)) if "/films/" in key)
    known = (stored.dataset, stored.films) if stored else None
    ingestion = ingestion_of(source, dataset, known, present, strict=strict)
    if not ingestion.entries:
        raise DatasetError(str(source.files.path), "holds no film that can be used; `--dry-run` says why")
    return ingestion


def finish(
    store: ObjectStore,
    ingestion: Ingestion,
    stored: StoredDataset | None,
    results: Sequence[UnitResult],
    written: int,
    *,
    append: bool = False,
) -> Ingested:
    """Make the films of all units a data set, or a new version of one.

    Raises:
        DatasetError: no film can be used, or other films are stored under this name.
    """
    began = store_time(store, ingestion)
    problems = tuple(problems_of(ingestion, results))
    films = [film for result in results for film in result.films]
    if not films:
        first = next(iter(problems), None)
        raise DatasetError(first.where if first else ingestion.dataset, first.what if first else "holds no film")
    try:
        manifest = _merged(manifest_of(ingestion.source, ingestion.dataset, films), stored, append=append)
        wanted = _described(manifest, stored)
        if stored and not stored.films:
            _write_shards(store, wanted, manifest)
        description = write_manifests(store, wanted, manifest, stored.etag if stored else None)
    except DatasetError:
        _remove_own(store, ingestion, stored_films(store, ingestion.dataset))
        raise
    if description is not wanted:  # another ingest was faster with the same films
        manifest = stored_manifest(store, ingestion.dataset)
    _remove_own(store, ingestion, manifest.films)
    if stored is None or description != stored.dataset:  # otherwise one that adds films now may still succeed
        remove_unreferenced(store, layout.raw(ingestion.dataset), _named(description, manifest.films), _CONTENT, began)
    return Ingested(description, manifest, written, (*ingestion.source.problems, *problems))


def store_time(store: ObjectStore, ingestion: Ingestion) -> float:
    """Return when the first object of this ingest was written, by the store's clock."""
    entries = store.entries(layout.ingest_units(ingestion.dataset, ingestion.id))
    return min((entry.modified for entry in entries), default=0.0)


def _do_units(store: ObjectStore, ingestion: Ingestion, progress: ProgressCallback) -> tuple[list[UnitResult], int]:
    """Do the units that are not done, several at a time."""

    def work(unit: int) -> tuple[UnitResult, int]:
        done = finished_unit(store, ingestion, unit)
        return (done, 0) if done else do_unit(store, ingestion, unit)

    results, written, total = [], 0, len(ingestion.entries)
    with ThreadPoolExecutor(os.cpu_count() or 1, "ingest") as threads:
        try:
            for unit, (result, new) in zip(ingestion.units, threads.map(work, ingestion.units), strict=True):
                results.append(result)
                written += new
                progress(_DOING, min((unit + 1) * UNIT_FILMS, total), total)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return results, written


def _merged(new: Manifest, stored: StoredDataset | None, *, append: bool) -> Manifest:
    """Return the films of the next version: the stored ones, in their order, and those that are added.

    Raises:
        DatasetError: a stored film is another one now, or missing without `append`.
    """
    if stored is None:
        return new
    if (new.synthetic, new.terms, new.labelling) != (
        stored.dataset.synthetic,
        stored.dataset.terms,
        stored.dataset.labelling,
    ):
        raise DatasetError(f"data set '{new.dataset}'", "has other terms or labels in the store; choose another name")
    if not stored.films:
        if describe(new).sha256 != stored.dataset.sha256:
            raise _other_films(new.dataset)
        return new
    films = {film.id: film for film in new.films}
    kept = []
    for film in stored.films:
        again = films.pop(film.id, film if append else None)
        if again is None or again.model_copy(update={"key": film.key}) != film:
            raise _other_films(new.dataset)
        kept.append(film)
    if films:  # a new version has its own place for shards, so its films must say where they are
        kept = [film.model_copy(update={"key": _key_of(stored.dataset, film)}) for film in kept]
    return new.model_copy(update={"films": (*kept, *films.values())})


def _described(manifest: Manifest, stored: StoredDataset | None) -> Dataset:
    if stored is None:
        return describe(manifest)
    return stored.dataset if len(manifest.films) == stored.dataset.films else grown(stored.dataset, manifest)


def _key_of(dataset: Dataset, film: Film) -> str:
    return film_key(dataset, film).removeprefix(layout.raw(dataset.dataset))


def write_manifests(store: ObjectStore, dataset: Dataset, manifest: Manifest, etag: str | None = None) -> Dataset:
    """Store the shards' manifests, then the manifest that makes the data set, or its new version, exist.

    Args:
        etag: of the manifest that is replaced; None: there is none.

    Returns:
        The data set as stored; another ingest of the same films may have been faster.

    Raises:
        DatasetError: other films are stored under this name.
    """
    if not _all_shards(store, dataset):
        _write_shards(store, dataset, manifest)
    key, data = layout.raw_manifest(dataset.dataset), document(dataset, indent=1)
    try:
        if etag is None:
            store.put(key, data, if_absent=True)
        elif read_dataset(store, dataset.dataset) != dataset:
            store.put(key, data, if_match=etag)
    except PreconditionFailed:
        stored = _stored_or_replaced(store, dataset)
        if stored.model_copy(update={"content": dataset.content}) != dataset:
            named = [layout.raw_manifests(stored.dataset, content) for content in _contents(stored)]
            written = layout.raw_manifests(dataset.dataset, dataset.content)
            remove_unreferenced(store, written, named, re.compile(".*"))
            raise _other_films(dataset.dataset) from None
        return stored
    return dataset


def _stored_or_replaced(store: ObjectStore, dataset: Dataset) -> Dataset:
    """Read the stored manifest; replace one that can't be read."""
    try:
        return read_dataset(store, dataset.dataset)
    except ObjectUnreadable:
        store.put(layout.raw_manifest(dataset.dataset), document(dataset, indent=1))
        return dataset


def _other_films(dataset: str) -> DatasetError:
    return DatasetError(
        f"data set '{dataset}'",
        "the store holds other films under this name; choose another name, or --append to add films to them",
    )


def _named(dataset: Dataset, films: Sequence[Film]) -> Iterator[str]:
    """Yield all that the manifest of a data set names."""
    yield from (layout.raw_manifests(dataset.dataset, content) for content in _contents(dataset))
    yield from (film_key(dataset, film) for film in films)


def _contents(dataset: Dataset) -> list[str]:
    """Return the `content` of all versions of a data set."""
    return [*(version.content for version in dataset.earlier), dataset.content]


def stored_films(store: ObjectStore, dataset: str) -> Sequence[Film]:
    """Return the films of a data set; none if there is none."""
    stored = read_stored(store, dataset)
    return stored.films if stored else ()


def _remove_own(store: ObjectStore, ingestion: Ingestion, films: Sequence[Film]) -> None:
    """Remove what this ingest has written and no manifest names."""
    below = layout.raw(ingestion.dataset)
    named = {f"{below}{film.key}" for film in films if film.key}
    ours = re.compile(rf"{ingestion.id}/(films|units)/.*")
    remove_unreferenced(store, below, named, ours)


def _write_shards(store: ObjectStore, dataset: Dataset, manifest: Manifest) -> None:
    def write(name: str, end: int, size: int) -> None:
        shard = FilmShard(films=manifest.films[end - size : end])
        store.put(shard_key(dataset, name), document(shard, indent=1))

    with ThreadPoolExecutor(_REQUESTS, "manifests") as threads:
        for _ in threads.map(write, shard_names(dataset.shards), accumulate(dataset.shards), dataset.shards):
            pass


def _all_shards(store: ObjectStore, dataset: Dataset) -> bool:
    wanted = {shard_key(dataset, name) for name in shard_names(dataset.shards)}
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
    return read_manifest(store, read_dataset(store, dataset))


def read_manifest(store: ObjectStore, dataset: Dataset) -> Manifest:
    """Read the films of a data set, or of a version of it. Raises ObjectNotFound."""
    return Manifest(
        dataset=dataset.dataset,
        synthetic=dataset.synthetic,
        terms=dataset.terms,
        labelling=dataset.labelling,
        films=films_of(store, dataset),
    )


def films_of(store: ObjectStore, dataset: Dataset) -> tuple[Film, ...]:
    """Read the films of a data set, in the order of its shards."""
    keys = [shard_key(dataset, name) for name in shard_names(dataset.shards)]
    with ThreadPoolExecutor(_REQUESTS, "manifests") as threads:
        documents = list(threads.map(store.get, keys))
    shards = (parse_document(key, data, FilmShard) for key, data in zip(keys, documents, strict=True))
    return tuple(film for shard in shards for film in shard.films)


def shard_key(dataset: Dataset, shard: str) -> str:
    """Return the key of the manifest of a shard."""
    return layout.raw_shard(dataset.dataset, dataset.content, shard)


def shard_names(shards: Sequence[int]) -> Iterator[str]:
    """Yield the names of shards, given how many films each has, in order."""
    return (f"{number:06d}" for number in range(len(shards)))
