"""Read what the documents of a store refer to."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from shared.batches.plan import BatchPlan
from shared.domain.films import Dataset, Film, version_of
from shared.domain.records import Record
from shared.errors import DatasetError, ObjectNotFound
from shared.evaluations.plan import EvaluationPlan
from shared.modelling.card import ModelCard
from shared.runs.plan import Plan
from shared.store import layout
from shared.store.documents import read_document
from shared.store.ingest import film_key, films_of
from shared.store.interface import ObjectStore
from shared.store.models import CARD, AliasMove

_R = TypeVar("_R", bound=Record)
_ALIASES, _AUDIT = "aliases", "audit"


@dataclass(frozen=True)
class References:
    """What is referred to.

    Attributes:
        runs: names of the runs that have a plan.
        batches: names of the batches that have a plan.
        evaluations: names of the evaluations that have a plan.
        models: network and version of each that an alias, the audit trail, a run, a batch or an evaluation names.
        prefixes: of images and weights that runs use, and of films that data sets have; each ends with a slash.
    """

    runs: frozenset[str]
    batches: frozenset[str]
    evaluations: frozenset[str]
    models: frozenset[tuple[str, str]]
    prefixes: frozenset[str]


class ReferenceReader:
    """Reads what a store's documents refer to; those that never change are read once, however often it is asked."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._documents: dict[str, Record] = {}
        self._films: dict[str, frozenset[str]] = {}

    def read(self) -> References:
        """Read all plans, aliases, audit trails and data sets as they are now.

        Raises:
            ObjectUnreadable: one of them can't be read, so that what it refers to is not known.
            ObjectOfLaterRelease: only a later release can read it.
            DatasetError: a shard of a data set is missing.
        """
        plans = [self._once(key, Plan) for key in self._named(layout.runs(), "plan.json")]
        batches = [self._once(key, BatchPlan) for key in self._named(layout.batches(), "plan.json")]
        evaluations = [self._once(key, EvaluationPlan) for key in self._named(layout.evaluations(), "plan.json")]
        prefixes = {prefix for plan in plans for prefix in _of_plan(plan)}
        for key in self._named(layout.all_raw(), "manifest.json"):
            prefixes |= self._of_dataset(read_document(self._store, key, Dataset))
        return References(
            runs=frozenset(plan.run for plan in plans),
            batches=frozenset(batch.batch for batch in batches),
            evaluations=frozenset(evaluation.evaluation for evaluation in evaluations),
            models=frozenset(
                {(batch.network, batch.version) for batch in batches}
                | {(evaluation.network, evaluation.version) for evaluation in evaluations}
                | set(self._moved())
                | set(self._made_by({plan.run for plan in plans}))
            ),
            prefixes=frozenset(prefixes),
        )

    def _named(self, below: str, name: str) -> list[str]:
        """Return the keys of the documents `<below><one part>/<name>`."""
        return [key for key in self._store.list(below) if key.removeprefix(below).split("/")[1:] == [name]]

    def _once(self, key: str, kind: type[_R]) -> _R:
        known = self._documents.get(key)
        if not isinstance(known, kind):
            known = self._documents[key] = read_document(self._store, key, kind)
        return known

    def _of_dataset(self, dataset: Dataset) -> frozenset[str]:
        """Return the prefixes below a data set's own, one part long, that its manifest or a film's entry names."""
        own, described = layout.raw(dataset.dataset), dataset.model_dump_json()
        if described not in self._films:
            keys = []
            for number in range(1, dataset.version + 1):
                if version := version_of(dataset, number):
                    keys.append(layout.raw_manifests(dataset.dataset, version.content))
                    keys += [film_key(version, film) for film in self._films_of(version, newest=dataset)]
            self._films[described] = frozenset(f"{own}{key.removeprefix(own).split('/')[0]}/" for key in keys)
        return self._films[described]

    def _films_of(self, version: Dataset, newest: Dataset) -> tuple[Film, ...]:
        try:
            return films_of(self._store, version)
        except ObjectNotFound as error:  # an ingest makes the shards of the newest version again, and no others
            again = f"run `mammo ingest SOURCE --dataset {newest.dataset}` again, or " if version == newest else ""
            raise DatasetError(
                f"data set '{newest.dataset}'",
                f"{error.key} is missing, so it is not known which films it names, and no more is deleted; "
                f"{again}restore it from a backup",
            ) from error

    def _made_by(self, runs: set[str]) -> Iterator[tuple[str, str]]:
        """Yield the models of runs; a version has its card last, and until then the name of its run."""
        for key in self._store.list(layout.models()):
            network, version, *rest = f"{key.removeprefix(layout.models())}/".split("/")
            if version in runs or (rest == [CARD, ""] and self._once(key, ModelCard).run in runs):
                yield network, version

    def _moved(self) -> Iterator[tuple[str, str]]:
        """Yield the models that aliases and the audit trail name."""
        for key in self._store.list(layout.models()):
            place = PurePosixPath(key).parent.name
            if place in (_ALIASES, _AUDIT):
                move = self._once(key, AliasMove) if place == _AUDIT else read_document(self._store, key, AliasMove)
                yield from ((move.network, version) for version in (move.version, move.previous) if version)


def _of_plan(plan: Plan) -> set[str]:
    images = {
        layout.augmented_images(plan.dataset, plan.augmentation.id),
        layout.segmented_images(plan.dataset, plan.augmentation.segmented_id),
    }
    return images | {f"{key.rpartition('/')[0]}/" for key in plan.weights.values() if "/" in key}
