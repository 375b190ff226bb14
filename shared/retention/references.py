"""Read what the documents of a store refer to."""

from dataclasses import dataclass

from shared.batches.plan import BatchPlan
from shared.domain.films import Dataset, FilmShard
from shared.runs.plan import Plan
from shared.store import layout
from shared.store.documents import read_document
from shared.store.ingest import film_key
from shared.store.interface import ObjectStore
from shared.store.models import AliasMove

_ALIASES, _AUDIT = "aliases", "audit"


@dataclass(frozen=True)
class References:
    """What is referred to.

    Attributes:
        runs: names of the runs that have a plan.
        batches: names of the batches that have a plan.
        models: network and version of each that an alias, the audit trail, a run or a batch names.
        datasets: names of the data sets that have a manifest.
        prefixes: of images and weights that runs use, and of films that data sets have; each ends with a slash.
    """

    runs: frozenset[str]
    batches: frozenset[str]
    models: frozenset[tuple[str, str]]
    datasets: frozenset[str]
    prefixes: frozenset[str]


def read_references(store: ObjectStore) -> References:
    """Read all plans, aliases, audit trails and data sets of a store.

    Raises:
        ObjectUnreadable: one of them can't be read, so that what it refers to is not known.
        ObjectOfLaterRelease: only a later release can read it.
    """
    plans = [read_document(store, key, Plan) for key in _named(store, layout.runs(), "plan.json")]
    batches = [read_document(store, key, BatchPlan) for key in _named(store, layout.batches(), "plan.json")]
    datasets = [read_document(store, key, Dataset) for key in _named(store, layout.all_raw(), "manifest.json")]
    prefixes = {prefix for plan in plans for prefix in _of_plan(plan)}
    prefixes |= {prefix for dataset in datasets for prefix in _of_dataset(store, dataset)}
    return References(
        runs=frozenset(plan.run for plan in plans),
        batches=frozenset(batch.batch for batch in batches),
        models=frozenset(_models(store, plans, batches)),
        datasets=frozenset(dataset.dataset for dataset in datasets),
        prefixes=frozenset(prefixes),
    )


def _named(store: ObjectStore, below: str, name: str) -> list[str]:
    """Return the keys of the documents `<below><one part>/<name>`."""
    return [key for key in store.list(below) if key.removeprefix(below).split("/")[1:] == [name]]


def _of_plan(plan: Plan) -> set[str]:
    images = {
        layout.augmented_images(plan.dataset, plan.augmentation.id),
        layout.segmented_images(plan.dataset, plan.augmentation.segmented_id),
    }
    return images | {f"{key.rpartition('/')[0]}/" for key in plan.weights.values() if "/" in key}


def _of_dataset(store: ObjectStore, dataset: Dataset) -> set[str]:
    """Return the prefixes below a data set's own, one part long, that its manifest or a film's entry names."""
    contents = {version.content for version in dataset.earlier} | {dataset.content}
    keys = [layout.raw_manifests(dataset.dataset, content) for content in contents]
    for below in list(keys):
        for key in store.list(below):
            keys += [film_key(dataset, film) for film in read_document(store, key, FilmShard).films]
    own = layout.raw(dataset.dataset)
    return {f"{own}{key.removeprefix(own).split('/')[0]}/" for key in keys}


def _models(store: ObjectStore, plans: list[Plan], batches: list[BatchPlan]) -> set[tuple[str, str]]:
    found = {(network, plan.run) for plan in plans for network in plan.networks}
    found |= {(batch.network, batch.version) for batch in batches}
    for key in store.list(layout.models()):
        if key.split("/")[2] in (_ALIASES, _AUDIT):
            move = read_document(store, key, AliasMove)
            found |= {(move.network, version) for version in (move.version, move.previous) if version}
    return found
