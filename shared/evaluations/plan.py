"""The plan of an evaluation of a published version on another data set: everything that determines its result."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from pydantic import Field

from shared import __version__
from shared.digests import sha256_hex
from shared.domain.films import Dataset, Film, Manifest, as_it_was, shard_sizes
from shared.domain.overlap import LeftOut, films_to_leave_out
from shared.domain.records import CLASSES, Record
from shared.errors import ModelCorrupt, ObjectNotFound, PlanError, RunNotFound
from shared.imaging.segmentation.segment import SEGMENTATION_VERSION
from shared.modelling.card import ModelCard
from shared.modelling.external import RefusedFilm
from shared.runs.plan import read_plan as read_run
from shared.store import layout, models
from shared.store.dataset_versions import read_dataset_version
from shared.store.documents import read_document
from shared.store.ingest import films_of, read_dataset, shard_names
from shared.store.interface import ObjectStore

REPORT = "report"
"""The last unit; the others are shards of the data set."""


class EvaluationPlan(Record):
    """A version, the films that it is tested on, and those that are left out."""

    evaluation: str
    created: str
    code_version: str
    network: str
    version: str
    dataset: str
    dataset_version: int
    films_sha256: str
    films: int
    shard_films: int
    parts: tuple[int, ...] = Field(description="films of each version of the data set")
    left_out: LeftOut

    @property
    def shards(self) -> Iterator[str]:
        """The names of the units that judge films."""
        return shard_names(shard_sizes(self.parts or (self.films,), self.shard_films))

    def done_key(self, unit: str) -> str:
        """Return the key of the object that marks a unit as done.

        Raises:
            PlanError: there is no such unit.
        """
        if unit == REPORT:
            return layout.evaluation_report(self.evaluation, "digests.json")
        if unit not in self.shards:
            raise PlanError(f"evaluation {self.evaluation} has no unit '{unit}'")
        return layout.evaluation_shard(self.evaluation, unit)


class FilmProbabilities(Record):
    """A film with its calibrated probabilities, in the order of CLASSES."""

    film: str
    probabilities: tuple[float, float, float]


class JudgedShard(Record):
    """The result of a unit: its films, except those that are left out."""

    judged: tuple[FilmProbabilities, ...]
    refused: tuple[RefusedFilm, ...]


def make_evaluation(store: ObjectStore, network: str, version: str, dataset: str) -> EvaluationPlan:
    """Plan the evaluation of a version on a data set; the same version, films and release give the same one.

    Raises:
        ModelNotFound: there is no such version.
        ModelCorrupt: its card can't be read, or another release has to judge films for it.
        PlanError: there is no such data set, all its films are left out, or it is not known any more which films the
            version was trained on.
    """
    card = models.read_card(store, network, version)
    check_judgeable(card)
    tested = read_dataset_version(store, dataset)
    films = films_of(store, tested)
    training = _training_set(store, card)
    left_out = films_to_leave_out(films, _seen(training, card), same_ids=_same_ids(training, tested))
    if len(left_out.films) == len(films):
        raise PlanError(
            f"all {len(films)} films of data set {dataset} are left out: {_reasons(left_out)}; "
            f"choose a data set with patients that {network} {version} has not seen"
        )
    facts = (network, version, tested.dataset, tested.sha256, __version__, left_out.model_dump_json())
    return EvaluationPlan(
        evaluation=f"{network}-{version}-{sha256_hex(json.dumps(facts).encode())[:8]}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=__version__,
        network=network,
        version=version,
        dataset=tested.dataset,
        dataset_version=tested.version,
        films_sha256=tested.sha256,
        films=tested.films,
        shard_films=tested.shard_films,
        parts=tested.parts,
        left_out=left_out,
    )


def read_evaluation_plan(store: ObjectStore, evaluation: str) -> EvaluationPlan:
    """Read the plan of an evaluation.

    Raises:
        RunNotFound: there is no such evaluation.
    """
    try:
        return read_document(store, layout.evaluation_plan(layout.check_name("evaluation", evaluation)), EvaluationPlan)
    except ObjectNotFound:
        raise RunNotFound(f"there is no evaluation '{evaluation}'; start it with `mammo evaluate`") from None


def dataset_of(store: ObjectStore, plan: EvaluationPlan) -> Dataset:
    """Read the data set of an evaluation, without films that were added since.

    Raises:
        PlanError: it is gone, or its name stands for other films now.
    """
    found = as_it_was(read_dataset_version(store, plan.dataset), plan.films_sha256)
    if found is None:
        raise PlanError(
            f"the data set '{plan.dataset}' holds other films than when evaluation {plan.evaluation} began; "
            "start it again with `mammo evaluate`"
        )
    return found


def check_judgeable(card: ModelCard) -> None:
    """Check that this release prepares films as the version's own did.

    Raises:
        ModelCorrupt: it does not.
    """
    if card.preprocessing.segmentation != SEGMENTATION_VERSION:
        raise ModelCorrupt(
            f"{card.network} {card.version} was trained with segmentation {card.preprocessing.segmentation}, this "
            f"release has {SEGMENTATION_VERSION}; deploy the release that trained it, or retrain it"
        )
    if card.classes != CLASSES:
        raise ModelCorrupt(f"{card.network} {card.version} has other classes than {', '.join(CLASSES)}; retrain it")


def _training_set(store: ObjectStore, card: ModelCard) -> Manifest:
    """Read the data set of a version with the films that it had then.

    Raises:
        PlanError: it can't be told what they were.
    """
    try:
        run = read_run(store, card.run)
        found = read_dataset(store, card.dataset)
        dataset = as_it_was(found, run.films_sha256) if run.films_sha256 else found
        if dataset is not None:
            films = films_of(store, dataset)
            return Manifest(dataset=card.dataset, synthetic=dataset.synthetic, films=films)
    except (RunNotFound, ObjectNotFound):
        pass
    raise PlanError(
        f"it can't be told which films {card.network} {card.version} was trained on, so it can't be tested on others: "
        f"restore run {card.run} and data set {card.dataset} as it was then"
    )


def _seen(training: Manifest, card: ModelCard) -> Iterator[Film]:
    """Yield the films that the published weights were trained on, or chosen and calibrated by."""
    held_out = set(card.held_out_patients)
    return (film for film in training.films if film.patient not in held_out)


def _same_ids(training: Manifest, tested: Dataset) -> bool:
    """Return whether equal ids of patients mean the same person; sets of generated films number theirs alike."""
    return training.dataset == tested.dataset or not (training.synthetic or tested.synthetic)


def _reasons(left_out: LeftOut) -> str:
    reasons = {
        "patients that it has seen": len(left_out.patients_by_id) + len(left_out.patients_by_film),
        "films that stand there twice": len(left_out.repeated_films),
        "films that stand there with two labels": len(left_out.contradictory_films),
    }
    return ", ".join(f"{count} {what}" for what, count in reasons.items() if count)
