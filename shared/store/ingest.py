"""Brings a data set into the store: everything is checked first, and the manifest, which makes it exist, comes last."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from shared.datasets.manifest import Manifest
from shared.datasets.mias import Source, read_manifest
from shared.errors import DatasetError, ObjectNotFound
from shared.store import keys
from shared.store.objects import ObjectStore

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and how much there is (0 while that is not known)."""


@dataclass(frozen=True)
class Ingested:
    """The manifest, and how many films had to be written (0 when the data set was there already)."""

    manifest: Manifest
    written: int


def ingest(store: ObjectStore, source: Source, dataset: str, progress: Progress = lambda *_: None) -> Ingested:
    """Writes `raw/<dataset>/`; doing it again changes nothing, and completes what was interrupted.

    Raises:
        DatasetError: the source is not right, or other films are already stored under this name.
    """
    keys.check_name("data set", dataset)
    manifest = read_manifest(source, dataset, lambda done: progress("checking films", done, 0))
    document = manifest.model_dump_json(indent=1).encode()
    try:
        stored = read_dataset(store, dataset)
    except ObjectNotFound:
        stored = None
    if stored not in (None, manifest):
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
        store.put(keys.raw_manifest(dataset), document, if_absent=True)
    return Ingested(manifest, written)


def read_dataset(store: ObjectStore, dataset: str) -> Manifest:
    """The manifest of an ingested data set. Raises ObjectNotFound."""
    return Manifest.model_validate_json(store.get(keys.raw_manifest(dataset)))
