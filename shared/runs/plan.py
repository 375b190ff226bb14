"""The plan of a run: everything that determines its results, stored in `runs/<run>/plan.json`."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import Field

from shared import __version__
from shared.domain.films import Dataset, check_enough_patients, shard_sizes
from shared.domain.records import Record
from shared.errors import ObjectNotFound, PlanError, RunNotFound
from shared.modelling.network_table import NETWORK_TABLE, Network
from shared.modelling.profiles import Profile, augmented_in_loader
from shared.modelling.recipes import HONEST, AugmentationRecipe, Protocol, TrainingRecipe
from shared.queue.messages import Stage
from shared.store import layout
from shared.store.documents import read_document
from shared.store.ingest import shard_names
from shared.store.interface import ObjectStore

SHARDED: tuple[Stage, ...] = ("augment", "segment")
"""Stages whose units are shards of films; the units of other stages are long jobs."""

LARGE = 5_000
"""Films from which on a data set is large: no augmented copies of it are stored, and inputs are rounded."""

SCRATCH = "scratch"
TORCHVISION = "torchvision"


class Unit(NamedTuple):
    """A unit of a stage, done once the object `done_key` exists."""

    stage: Stage
    name: str
    done_key: str


class Plan(Record):
    """Plan of one run.

    Attributes:
        weights: initial weights by network: 'scratch', 'torchvision', or a key in the store.
        repeats: number of different divisions of the patients into `folds`; their jobs are numbered consecutively.
        promote: networks to put into production, unless they are worse than the model in production.
        only_if_better: promote only networks that are better than the model in production.
        large: network inputs are rounded to 8 or 16 bits and stored by shard, for the jobs of all machines.
    """

    schema_number = 2  # films_sha256

    run: str
    created: str
    code_version: str
    dataset: str
    synthetic: bool
    films: int
    shard_films: int
    parts: tuple[int, ...] = Field((), exclude_if=lambda parts: not parts)
    profile: str
    seed: int
    folds: int
    repeats: int = 1
    augmentation: AugmentationRecipe
    training: dict[Network, TrainingRecipe]
    protocols: tuple[Protocol, ...]
    weights: dict[Network, str]
    promote: tuple[Network, ...]
    only_if_better: bool = False
    large: bool = Field(False, exclude_if=lambda large: not large)
    films_sha256: str = Field("", description="digest of what is known of the data set's films; '' before 0.2")

    @property
    def shards(self) -> tuple[int, ...]:
        """How many films each shard of the data set has."""
        return shard_sizes(self.parts or (self.films,), self.shard_films)

    @property
    def networks(self) -> tuple[Network, ...]:
        """Networks that the run trains."""
        return tuple(self.training)

    @property
    def honest(self) -> Protocol | None:
        """The protocol whose models are published: `official` if the run has it, else `patient`; None without both."""
        return next((protocol for protocol in HONEST if protocol in self.protocols), None)

    def names(self, stage: Stage) -> Iterator[str]:
        """Yield the names of all units of a stage, in order."""
        match stage:
            case "augment" | "segment":
                yield from shard_names(self.shards)
            case "train":
                for network in self.networks:
                    for protocol in self.protocols:
                        for fold in range(self.folds * self.repeats if protocol in HONEST else 1):
                            yield f"{network}/{protocol}/fold-{fold}"
            case "evaluate":
                if self.training:
                    yield "report"
            case "publish":
                yield from self.networks if self.honest else ()
            case "promote":
                yield from self.promote

    def units(self, stage: Stage) -> Iterator[Unit]:
        """Yield all units of a stage, in order."""
        return (Unit(stage, name, self.done_key(stage, name)) for name in self.names(stage))

    def count(self, stage: Stage) -> int:
        """Return the number of units of a stage."""
        return sum(1 for _ in self.names(stage))

    def find(self, stage: Stage, name: str) -> Unit:
        """Return a unit by its name.

        Raises:
            PlanError: the stage has no such unit.
        """
        if stage in SHARDED:
            known = len(name) == 6 and name.isdecimal() and int(name) < len(self.shards)
        else:
            known = name in self.names(stage)
        if not known:
            raise PlanError(f"run {self.run} has no unit '{name}' in its stage {stage}")
        return Unit(stage, name, self.done_key(stage, name))

    def done_key(self, stage: Stage, name: str) -> str:
        """Return the key of the object that marks a unit as done."""
        match stage:
            case "augment":
                return layout.augmented_manifest(self.dataset, self.augmentation.id, name)
            case "segment":
                return layout.segmented_manifest(self.dataset, self.augmentation.segmented_id, name)
            case "train":
                return layout.fold_file(self.run, name, "result.json")
            case "evaluate":
                return layout.report_file(self.run, "digests.json")
            case "publish":
                return layout.published_mark(self.run, name)
            case "promote":
                return layout.promoted_mark(self.run, name)

    def done_prefix(self, stage: Stage) -> str:
        """Return the common prefix of the `done_key`s of a stage."""
        match stage:
            case "augment":
                return layout.augmented_manifests(self.dataset, self.augmentation.id)
            case "segment":
                return layout.segmented_manifests(self.dataset, self.augmentation.segmented_id)
            case "train":
                return layout.training(self.run)
            case "evaluate":
                return layout.report_file(self.run, "")
            case "publish":
                return layout.published(self.run)
            case "promote":
                return layout.promoted(self.run)


def read_plan(store: ObjectStore, run: str) -> Plan:
    """Read the plan of a run.

    Raises:
        RunNotFound: there is no such run.
        ObjectUnreadable: the plan is damaged.
        ObjectOfLaterRelease: only a later release can read it.
    """
    try:
        return read_document(store, layout.run_plan(layout.check_name("run", run)), Plan)
    except ObjectNotFound:
        raise RunNotFound(f"there is no run '{run}'; `mammo status` lists the runs") from None


def check_plan(plan: Plan) -> None:
    """Check that workers can carry out the plan.

    Raises:
        PlanError: an option is impossible; the message names it.
    """
    if not plan.training:
        raise PlanError(f"the run trains no network; name one of {', '.join(NETWORK_TABLE)}")
    if not plan.protocols:
        raise PlanError("the run has no protocol; name patient, paper, or both")
    circles = {name for name, recipe in plan.training.items() if recipe.lesion_weight}
    if unplaced := [name for name in plan.training if name in circles and not NETWORK_TABLE[name].explainable]:
        raise PlanError(f"{', '.join(unplaced)} can't be trained on lesions' circles; set its lesion_weight to 0")
    staged = ", ".join(record.label for record in NETWORK_TABLE.values() if record.staged)
    for choice, usual in (("last_stage", "layer4"), ("strided", "3x3")):
        chosen = [name for name, recipe in plan.training.items() if getattr(recipe, choice) != usual]
        if others := [name for name in chosen if not NETWORK_TABLE[name].staged]:
            raise PlanError(f"{', '.join(others)} has no {choice} to choose, only {staged} has; omit it")
    if untrained := set(plan.promote) - set(plan.networks):
        raise PlanError(f"{', '.join(sorted(untrained))} can't be promoted: this run does not train it")
    if plan.promote and not plan.honest:
        raise PlanError("a model trained by the leaky protocol 'paper' is never promoted; add the protocol 'patient'")


@dataclass(frozen=True)
class RunOptions:
    """Options of a new run beyond data set and profile.

    `weights` names the initial weights of the networks that are not trained from scratch.
    """

    networks: Sequence[Network]
    protocols: Sequence[Protocol]
    weights: Mapping[Network, str]
    promote: Sequence[Network]
    seed: int
    only_if_better: bool = False


def make_plan(dataset: Dataset, profile: Profile, choices: RunOptions) -> Plan:
    """Plan a new run on an ingested data set; its name is the time with a few random digits.

    Raises:
        PlanError: there are too few patients for the profile's folds.
    """
    if choices.networks and set(HONEST) & set(choices.protocols):
        check_enough_patients(dataset.patients, profile.folds)
    now, large = datetime.now(UTC), dataset.films >= LARGE
    if large:
        profile = augmented_in_loader(profile)
    return Plan(
        run=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        created=now.isoformat(timespec="seconds"),
        code_version=__version__,
        dataset=dataset.dataset,
        synthetic=dataset.synthetic,
        films=dataset.films,
        shard_films=dataset.shard_films,
        parts=dataset.parts,
        profile=profile.name,
        seed=choices.seed,
        folds=profile.folds,
        repeats=profile.repeats,
        augmentation=profile.augmentation,
        training={network: profile.training[network] for network in choices.networks},
        protocols=tuple(choices.protocols),
        weights={network: choices.weights.get(network, SCRATCH) for network in choices.networks},
        promote=tuple(choices.promote),
        only_if_better=choices.only_if_better,
        large=large,
        films_sha256=dataset.sha256,
    )
