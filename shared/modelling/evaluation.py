"""The evaluation of a run, the content of metrics.json."""

from typing import Self

from pydantic import Field, FiniteFloat, model_validator

from shared.domain.records import Record
from shared.domain.terms import Terms
from shared.modelling.bootstrap import Interval
from shared.modelling.calibration import OperatingPointName
from shared.modelling.exams import Level
from shared.modelling.metrics import ModelMetrics
from shared.modelling.network_table import NETWORKS_TEXT
from shared.modelling.recipes import Protocol, TrainingFormat
from shared.modelling.subgroups import GroupMetrics


class EpochRecord(Record):
    """One pass over the training films; losses are finite, because JSON has no other numbers."""

    epoch: int
    train_loss: FiniteFloat
    validation_loss: FiniteFloat
    validation_auc: float | None = Field(description="macro, one-vs-rest; None where a class has no validation film")
    learning_rate: float
    images_per_second: float


class FoldHistory(Record):
    """The training of one fold; its test films are predicted by the weights of `best_epoch`."""

    fold: int
    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    train_images: int = Field(description="with augmented variants")
    validation_films: int
    test_films: int
    seconds: float
    number_format: TrainingFormat | None = Field(
        None, description="of matrix products in training; None: trained before it was written down"
    )

    @model_validator(mode="after")
    def _best_epoch_was_run(self) -> Self:
        if self.best_epoch not in {epoch.epoch for epoch in self.epochs}:
            raise ValueError(f"fold {self.fold}: best_epoch {self.best_epoch} is not among its epochs")
        return self


class WeightsReport(Record):
    """Source of a network's initial weights, layer by layer."""

    source: str = Field(description="'torchvision IMAGENET1K_V2', 'file resnet50_imagenet_trunk.pth', 'from scratch'")
    loaded: tuple[str, ...] = Field(description="layers that were loaded")
    missing: tuple[str, ...] = Field(description="layers left at random initialisation")
    unexpected: tuple[str, ...] = Field(description="layers in the source that the network does not have")


class PooledOperatingPoint(Record):
    """Metrics of an operating point on held-out films, with each fold's threshold."""

    name: OperatingPointName
    sensitivity: Interval
    specificity: Interval
    true_positives: int = Field(description="abnormal films (breasts, exams) called abnormal")
    false_negatives: int
    true_negatives: int = Field(description="normal films called normal")
    false_positives: int


class Calibration(Record):
    """Calibration of probabilities on held-out films, before and after the fit.

    The Brier score and the expected calibration error (ECE) are over the films of all folds together.
    """

    temperatures: tuple[float, ...] = Field(description="by fold, each fitted on its own validation films")
    brier_before: float
    brier_after: float
    ece_before: float
    ece_after: float
    bins: tuple[tuple[float, float, int], ...] = Field(
        (), description="after: mean confidence, accuracy and films of each bin"
    )


class SideBySide(Record):
    """Films compared with the same view of the other breast (`bilateral`)."""

    metrics: ModelMetrics
    operating_points: tuple[PooledOperatingPoint, ...]


class LevelResult(Record):
    """The same films evaluated by breast or by exam (`shared.modelling.exams`), which `n_films` counts."""

    level: Level
    metrics: ModelMetrics
    operating_points: tuple[PooledOperatingPoint, ...]


class NetworkResult(Record):
    """One network under one protocol.

    `patient`: folds keep a patient's films together and held-out films are not augmented.
    `official`: the data set's own test films are held out, and each fold chooses the epoch on another part of the rest.
    `paper`: films are augmented first and the images then split at random, as the published pipeline did.
    """

    network: str = Field(pattern="^[a-z0-9_]+$", description=f"{NETWORKS_TEXT}; part of file names")
    protocol: Protocol
    parameters: int
    input_size: int = Field(description="side of the square input, pixels")
    weights: WeightsReport
    histories: tuple[FoldHistory, ...]
    metrics: ModelMetrics = Field(description="of calibrated probabilities")
    operating_points: tuple[PooledOperatingPoint, ...] = Field(description="none by the leaky protocol")
    calibration: Calibration | None = Field(description="None by the leaky protocol")
    side_by_side: SideBySide | None = Field(
        None,
        description="the same films compared with the other breast; None if no patient has both, or under the "
        "leaky protocol",
    )
    levels: tuple[LevelResult, ...] = Field((), description="by breast and by exam; none by the leaky protocol")
    groups: tuple[GroupMetrics, ...] = Field(
        (), description="by density, view, acquisition and kind of lesion; none by the leaky one"
    )

    @property
    def combined(self) -> tuple[LevelResult, ...]:
        """The levels with fewer units than films, whose metrics differ from those by film."""
        return tuple(level for level in self.levels if level.metrics.n_films < self.metrics.n_films)

    @property
    def leaky(self) -> bool:
        """Return True if copies of one film are among both training and test images."""
        return self.protocol == "paper"


class Baseline(Record):
    """A reference for the networks, or their ensemble, on the same held-out films."""

    name: str = Field(pattern="^[a-z ]+$", description="majority class, logistic regression or ensemble")
    about: str = Field(description="one sentence: how it answers")
    metrics: ModelMetrics


class OfficialReport(Record):
    """The data set's own division, as the protocol `official` uses it."""

    training_films: int = Field(description="films that are divided into folds")
    test_films: int = Field(description="films that all folds are tested on")
    patients_on_both_sides: tuple[str, ...] = Field(description="all of whose films were left out")
    unplaced_films: int = Field(description="films that the data set places on neither side, left out")


class Evaluation(Record):
    """The evaluation of a run."""

    run: str
    dataset: str
    synthetic: bool
    profile: str
    seed: int
    created: str = Field(description="ISO 8601")
    films: int
    films_set_aside: int = Field(0, description="films of the data set that could not be processed and were left out")
    patients: int
    class_counts: dict[str, int] = Field(min_length=1, description="films by the value of their label")
    augmentation: str = Field(description="name of the recipe")
    augmentation_variants: int = Field(description="images made of each film")
    code_version: str
    code_sha256: str = Field("", description="of the code that trained and judged")
    data_sha256: str = Field("", description="of the manifests of the images that were trained on")
    folds: int = Field(0, description="parts of the patients")
    repeats: int = Field(1, description="times that the patients were divided")
    official: OfficialReport | None = Field(
        None, description="None without the protocol official", exclude_if=lambda report: report is None
    )
    terms: Terms | None = Field(None, description="of the data set; None: evaluated before they were known")
    labelling: str | None = Field(None, description="how labels were made of the data set's own findings")
    results: tuple[NetworkResult, ...]
    baselines: tuple[Baseline, ...] = Field((), description="under the patient protocol")

    @property
    def commonest(self) -> tuple[str, float]:
        """The class with the most films and its share, the accuracy of always predicting it."""
        label = max(self.class_counts, key=lambda label: self.class_counts[label])
        return label, self.class_counts[label] / sum(self.class_counts.values())

    @model_validator(mode="after")
    def _one_result_each(self) -> Self:
        if len({(result.network, result.protocol) for result in self.results}) < len(self.results):
            raise ValueError("a network has two results under the same protocol")
        return self
