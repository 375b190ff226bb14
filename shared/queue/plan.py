"""The plan of a run: all that decides its outcome, written to `runs/<run>/plan.json` before anything is enqueued."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from shared import __version__
from shared.datasets.manifest import Film, Manifest, Record, check_enough_patients
from shared.errors import ObjectNotFound, PlanError, RunNotFound
from shared.modelling.recipes import AugmentationRecipe, Network, Profile, Protocol, TrainingRecipe
from shared.store import keys
from shared.store.objects import ObjectStore

SHARD_FILMS = 8
"""Films of one unit of work of augment and segment. Part of the layout of their manifests: it may never change."""

Stage = Literal["augment", "segment", "train", "evaluate", "publish", "promote"]
STAGES: tuple[Stage, ...] = ("augment", "segment", "train", "evaluate", "publish", "promote")

SCRATCH = "scratch"
TORCHVISION = "torchvision"


class Unit(Record):
    """One piece of work of a stage. It is done when the object `done_key` is there."""

    stage: Stage
    name: str
    done_key: str


class Plan(Record):
    """One run. `weights` says where each network starts: 'scratch', 'torchvision', or a key in the store."""

    run: str
    created: str
    code_version: str
    dataset: str
    synthetic: bool
    films: int
    profile: str
    seed: int
    folds: int
    augmentation: AugmentationRecipe
    training: dict[Network, TrainingRecipe]
    protocols: tuple[Protocol, ...]
    weights: dict[Network, str]
    promote: tuple[Network, ...]

    @property
    def networks(self) -> tuple[Network, ...]:
        return tuple(self.training)

    def units(self, stage: Stage) -> list[Unit]:
        """All units of a stage; none where the stage has nothing to do in this run."""
        return [Unit(stage=stage, name=name, done_key=key) for name, key in self._units(stage)]

    def shard_films(self, shard: str, films: Sequence[Film]) -> Sequence[Film]:
        """The part of a data set's films, in the order of their ids, that a shard covers."""
        first = int(shard) * SHARD_FILMS
        return films[first : first + SHARD_FILMS]

    def _units(self, stage: Stage) -> list[tuple[str, str]]:
        shards = [f"{number:06d}" for number in range(-(-self.films // SHARD_FILMS))]
        match stage:
            case "augment":
                recipe = self.augmentation.id
                return [(shard, keys.augmented_manifest(self.dataset, recipe, shard)) for shard in shards]
            case "segment":
                recipe = self.augmentation.segmented_id
                return [(shard, keys.segmented_manifest(self.dataset, recipe, shard)) for shard in shards]
            case "train":
                names = [
                    f"{network}/{protocol}/fold-{fold}"
                    for network in self.networks
                    for protocol in self.protocols
                    for fold in range(self.folds if protocol == "patient" else 1)
                ]
                return [(name, keys.fold_file(self.run, name, "result.json")) for name in names]
            case "evaluate":
                return [("report", keys.report_file(self.run, "index.html"))]
            case "publish":
                networks = self.networks if "patient" in self.protocols else ()
                return [(network, keys.published_mark(self.run, network)) for network in networks]
            case "promote":
                return [(network, keys.promoted_mark(self.run, network)) for network in self.promote]

    def done_prefix(self, stage: Stage) -> str:
        """The prefix below which the `done_key`s of all units of a stage are."""
        match stage:
            case "augment":
                return keys.augmented_manifests(self.dataset, self.augmentation.id)
            case "segment":
                return keys.segmented_manifests(self.dataset, self.augmentation.segmented_id)
            case "train":
                return keys.training(self.run)
            case "evaluate":
                return keys.report_file(self.run, "")
            case "publish":
                return keys.published(self.run)
            case "promote":
                return keys.promoted(self.run)


def read_plan(store: ObjectStore, run: str) -> Plan:
    """Raises RunNotFound."""
    try:
        return Plan.model_validate_json(store.get(keys.run_plan(keys.check_name("run", run))))
    except ObjectNotFound:
        raise RunNotFound(f"there is no run '{run}'; `mammo status` lists the runs") from None


def check_plan(plan: Plan) -> None:
    """Raises PlanError for what no worker could carry out."""
    if not plan.training:
        raise PlanError("the run trains no network; name one of modified_cnn, alexnet, resnet50")
    if not plan.protocols:
        raise PlanError("the run has no protocol; name patient, paper, or both")
    if untrained := set(plan.promote) - set(plan.networks):
        raise PlanError(f"{', '.join(sorted(untrained))} can't be promoted: this run does not train it")
    if plan.promote and "patient" not in plan.protocols:
        raise PlanError("a model trained by the leaky protocol 'paper' is never promoted; add the protocol 'patient'")


def make_plan(
    dataset: Manifest,
    profile: Profile,
    *,
    networks: Sequence[Network],
    protocols: Sequence[Protocol],
    weights: Mapping[Network, str],
    promote: Sequence[Network],
    seed: int,
) -> Plan:
    """A new run over an ingested data set. Its name is the time with a few random digits.

    Args:
        weights: where training starts, for the networks that are not to be trained from scratch.

    Raises:
        PlanError: there are too few patients for the profile's folds.
    """
    if networks and "patient" in protocols:
        check_enough_patients(dataset.films, profile.folds)
    now = datetime.now(UTC)
    return Plan(
        run=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        created=now.isoformat(timespec="seconds"),
        code_version=__version__,
        dataset=dataset.dataset,
        synthetic=dataset.synthetic,
        films=len(dataset.films),
        profile=profile.name,
        seed=seed,
        folds=profile.folds,
        augmentation=profile.augmentation,
        training={network: profile.training[network] for network in networks},
        protocols=tuple(protocols),
        weights={network: weights.get(network, SCRATCH) for network in networks},
        promote=tuple(promote),
    )
