"""Compare what a run's units were made from with what the store holds now.

A data set's name may come to stand for other films: `raw/<dataset>/` was removed and others were ingested. What was
made from the former films is then not the output of the latter.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from shared.digests import sha256_hex
from shared.domain.films import Dataset, Manifest, Shard, as_it_was
from shared.errors import ObjectNotFound, ObjectUnreadable, PlanError
from shared.queue.messages import Stage
from shared.runs.plan import SHARDED, Plan, Unit
from shared.store import layout
from shared.store.documents import read_document
from shared.store.ingest import read_dataset, read_manifest, shard_key
from shared.store.interface import ObjectStore

RESULTS = "results.json"
"""File of a report: the digests of the training results that it was made from."""

READERS = 16


class FilmsChanged(PlanError):
    """A run whose data set holds other films than those it was planned for or trained on."""

    code = "films-changed"


def check_same_films(store: ObjectStore, plan: Plan) -> None:
    """Check that the data set still holds the films that the run was planned for.

    Raises:
        FilmsChanged: other films were ingested under its name.
    """
    if films_changed(store, plan):
        raise FilmsChanged(
            f"the data set '{plan.dataset}' holds other films than when run {plan.run} was planned; "
            f"start a new run over them: `mammo run --dataset {plan.dataset}`"
        )


def films_changed(store: ObjectStore, plan: Plan) -> bool:
    """Return whether the data set holds other films than those that the run was planned for.

    Plans of before 0.2 do not name their films; a data set that is gone has no other films.
    """
    found = stored_dataset(store, plan)
    return found is not None and plan.films_sha256 not in ("", found.sha256)


def stored_dataset(store: ObjectStore, plan: Plan) -> Dataset | None:
    """Read the data set of a run, without films that were added since; None where it is gone."""
    try:
        found = read_dataset(store, plan.dataset)
    except ObjectNotFound:
        return None
    return as_it_was(found, plan.films_sha256) or found


def planned_manifest(store: ObjectStore, plan: Plan) -> Manifest:
    """Read the films that a run was planned for, without those that its data set was given since.

    Raises:
        ObjectNotFound: the data set is gone.
    """
    return read_manifest(store, stored_dataset(store, plan) or read_dataset(store, plan.dataset))


def source_key(plan: Plan, dataset: Dataset | None, stage: Stage, shard: str) -> str | None:
    """Return the key of the document that a shard of a stage is made from; None where its data set is gone."""
    if stage == "segment":
        return layout.augmented_manifest(plan.dataset, plan.augmentation.id, shard)
    return shard_key(dataset, shard) if dataset else None


def stale_units(store: ObjectStore, plan: Plan, stage: Stage, units: list[Unit]) -> Iterator[Unit]:
    """Yield those of a stage's finished units that were made from something else than what is there now.

    Units whose source is gone can't be compared, nor made again, and count as done. A training job has no other source
    than its run's images, on which all jobs of a run are trained; see `check_trained_images`. Results that can't be
    read are stale.
    """
    if stage == "train":
        yield from (unit for unit in units if not _is_json_object(store, unit.done_key))
    if stage == "evaluate":
        yield from (unit for unit in units if _is_stale_report(store, plan, unit))
    if stage not in SHARDED or not units:
        return
    dataset = stored_dataset(store, plan)

    def stale(unit: Unit) -> bool:
        return is_stale(store, source_key(plan, dataset, stage, unit.name), unit.done_key)

    with ThreadPoolExecutor(READERS) as readers:
        yield from (unit for unit, is_so in zip(units, readers.map(stale, units), strict=True) if is_so)


def is_stale(store: ObjectStore, source: str | None, done: str) -> bool:
    """Return whether a finished shard was made from another document than the one under the key `source`."""
    try:
        digest = sha256_hex(store.get(source)) if source else None
    except ObjectNotFound:
        return False
    try:
        return digest is not None and read_document(store, done, Shard).source_sha256 != digest
    except (ObjectNotFound, ObjectUnreadable):
        return True


def images_sha256(manifests: Iterable[bytes]) -> str:
    """Return the digest of all segmented images of a run, by the manifests of their shards in order."""
    digest = hashlib.sha256()
    for manifest in manifests:
        digest.update(manifest)
    return digest.hexdigest()


def check_trained_images(store: ObjectStore, plan: Plan, sha256: str | None = None) -> None:
    """Check that the finished training jobs of a run used the images that are there now.

    Args:
        sha256: the `images_sha256` of the run, where it is known already.

    Raises:
        FilmsChanged: they used others, such as those of before a `mammo retry`.
    """
    for unit in plan.units("train"):
        try:
            trained = json.loads(store.get(unit.done_key)).get("data_sha256")
            sha256 = sha256 or images_sha256(store.get(shard.done_key) for shard in plan.units("segment"))
        except (ObjectNotFound, ValueError, AttributeError):
            continue
        if trained != sha256:
            raise FilmsChanged(
                f"the job {unit.name} of run {plan.run} was trained on other films than the store holds now, and all "
                "jobs of a run train on the same films; start a new run, which reuses all images"
            )


def results_document(store: ObjectStore, plan: Plan) -> bytes:
    """Return the file RESULTS of a run's report.

    Raises:
        ObjectNotFound: a result is missing.
    """
    digests = {unit.name: sha256_hex(store.get(unit.done_key)) for unit in plan.units("train")}
    return json.dumps(digests, indent=1).encode()


def _is_json_object(store: ObjectStore, key: str) -> bool:
    try:
        return isinstance(json.loads(store.get(key)), dict)
    except (ObjectNotFound, ValueError):
        return False


def _is_stale_report(store: ObjectStore, plan: Plan, unit: Unit) -> bool:
    """Return whether a report was made from other results; reports of before 0.2 do not tell."""
    try:
        made_from = json.loads(store.get(unit.done_key)).get(RESULTS)
        return made_from is not None and made_from != sha256_hex(results_document(store, plan))
    except ObjectNotFound:
        return False
    except (ValueError, AttributeError):
        return True
