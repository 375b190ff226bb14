"""The plan of a run: all that decides its outcome, written to `runs/<run>/plan.json` before anything is enqueued."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import Field

from shared import __version__
from shared.domain.films import Dataset, check_enough_patients
from shared.domain.records import Record
from shared.errors import ObjectNotFound, PlanError, RunNotFound
from shared.modelling.network_table import NETWORK_TABLE, Network
from shared.modelling.profiles import Profile
from shared.modelling.recipes import AugmentationRecipe, Protocol, TrainingRecipe
from shared.queue.messages import Stage
from shared.store import layout
from shared.store.ingest import shard_names
from shared.store.interface import ObjectStore

SHARDED: tuple[Stage, ...] = ("augment", "segment")
"""Stages whose units are shards of films; the units of the others are long jobs."""

SCRATCH = "scratch"
TORCHVISION = "torchvision"


class Unit(NamedTuple):
    """One piece of work of a stage. It is done when the object `done_key` is there."""

    stage: Stage
    name: str
    done_key: str


class Plan(Record):
    """One run. `weights` says where each network starts: 'scratch', 'torchvision', or a key in the store.

    The patients are divided into `folds` parts `repeats` times, each time otherwise; the jobs of all divisions are
    numbered through. What `promote` names goes into production unless it is worse than what is there, or
    `only_if_better`.
    """

    run: str
    created: str
    code_version: str
    dataset: str
    synthetic: bool
    films: int
    shard_films: int
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
    films_sha256: str = Field("", description="digest of what is known of the data set's films; '' before 0.2")

    @property
    def networks(self) -> tuple[Network, ...]:
        return tuple(self.training)

    def names(self, stage: Stage) -> Iterator[str]:
        """The names of all units of a stage, in order; none where the stage has nothing to do in this run."""
        match stage:
            case "augment" | "segment":
                yield from shard_names(self.films, self.shard_films)
            case "train":
                for network in self.networks:
                    for protocol in self.protocols:
                        for fold in range(self.folds * self.repeats if protocol == "patient" else 1):
                            yield f"{network}/{protocol}/fold-{fold}"
            case "evaluate":
                if self.training:
                    yield "report"
            case "publish":
                yield from self.networks if "patient" in self.protocols else ()
            case "promote":
                yield from self.promote

    def units(self, stage: Stage) -> Iterator[Unit]:
        return (Unit(stage, name, self.done_key(stage, name)) for name in self.names(stage))

    def count(self, stage: Stage) -> int:
        """How many units a stage has."""
        return sum(1 for _ in self.names(stage))

    def find(self, stage: Stage, name: str) -> Unit:
        """Raises PlanError when the stage has no such unit."""
        if stage in SHARDED:
            known = len(name) == 6 and name.isdecimal() and int(name) * self.shard_films < self.films
        else:
            known = name in self.names(stage)
        if not known:
            raise PlanError(f"run {self.run} has no unit '{name}' in its stage {stage}")
        return Unit(stage, name, self.done_key(stage, name))

    def done_key(self, stage: Stage, name: str) -> str:
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
        """The prefix below which the `done_key`s of all units of a stage are."""
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
    """Raises RunNotFound."""
    try:
        return Plan.model_validate_json(store.get(layout.run_plan(layout.check_name("run", run))))
    except ObjectNotFound:
        raise RunNotFound(f"there is no run '{run}'; `mammo status` lists the runs") from None


def check_plan(plan: Plan) -> None:
    """Raises PlanError for what no worker could carry out."""
    if not plan.training:
        raise PlanError(f"the run trains no network; name one of {', '.join(NETWORK_TABLE)}")
    if not plan.protocols:
        raise PlanError("the run has no protocol; name patient, paper, or both")
    circles = {name for name, recipe in plan.training.items() if recipe.lesion_weight}
    if unplaced := [name for name in plan.training if name in circles and not NETWORK_TABLE[name].explainable]:
        raise PlanError(f"{', '.join(unplaced)} can't learn from lesions' circles; set its lesion_weight to 0")
    staged = ", ".join(record.label for record in NETWORK_TABLE.values() if record.staged)
    for choice, usual in (("last_stage", "layer4"), ("strided", "3x3")):
        chosen = [name for name, recipe in plan.training.items() if getattr(recipe, choice) != usual]
        if others := [name for name in chosen if not NETWORK_TABLE[name].staged]:
            raise PlanError(f"{', '.join(others)} has no {choice} to choose, {staged} alone has; leave it out")
    if untrained := set(plan.promote) - set(plan.networks):
        raise PlanError(f"{', '.join(sorted(untrained))} can't be promoted: this run does not train it")
    if plan.promote and "patient" not in plan.protocols:
        raise PlanError("a model trained by the leaky protocol 'paper' is never promoted; add the protocol 'patient'")


@dataclass(frozen=True)
class RunOptions:
    """What a new run does beyond its data set and profile.

    `weights` says where training starts, for the networks that are not to be trained from scratch.
    """

    networks: Sequence[Network]
    protocols: Sequence[Protocol]
    weights: Mapping[Network, str]
    promote: Sequence[Network]
    seed: int
    only_if_better: bool = False


def make_plan(dataset: Dataset, profile: Profile, choices: RunOptions) -> Plan:
    """Plan a new run over an ingested data set; its name is the time with a few random digits.

    Raises:
        PlanError: there are too few patients for the profile's folds.
    """
    if choices.networks and "patient" in choices.protocols:
        check_enough_patients(dataset.patients, profile.folds)
    now = datetime.now(UTC)
    return Plan(
        run=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        created=now.isoformat(timespec="seconds"),
        code_version=__version__,
        dataset=dataset.dataset,
        synthetic=dataset.synthetic,
        films=dataset.films,
        shard_films=dataset.shard_films,
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
        films_sha256=dataset.sha256,
    )
