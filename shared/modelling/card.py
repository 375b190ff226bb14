"""The card of a published model: intended use, training, metrics, files."""

from pydantic import Field

from shared.domain.records import Label, Record
from shared.domain.terms import Terms
from shared.modelling.applicability import TrainedOn, kinds_of_films
from shared.modelling.bilateral import Comparison
from shared.modelling.calibration import MIN_FILMS, OperatingPoint
from shared.modelling.drift import InputDistribution
from shared.modelling.evaluation import WeightsReport
from shared.modelling.exams import ExamRule
from shared.modelling.metrics import ModelMetrics
from shared.modelling.network_table import Network
from shared.modelling.recipes import Protocol, TrainingFormat, TrainingRecipe

WEIGHTS, ONNX, GOLDEN, HEAD = "model.safetensors", "model.onnx", "golden.json", "head.npy"
INT8, GOLDEN_INT8, GOLDEN_BFLOAT16 = "model.int8.onnx", "golden.int8.json", "golden.bfloat16.json"
"""The files of a version. The second graph is there where it was found to judge as the first does, and so are the
golden answers of a number format."""

INTENDED_USE = (
    "Research on computer-aided reading of digitised screening mammograms. Not a medical device: no decision about a "
    "person may rest on its answers."
)
LIMITS = (
    "It judges each film by itself; breasts and exams have their answers by a fixed rule, and earlier films are not "
    "compared.",
    "Probabilities are calibrated by a single temperature on the validation films of one fold, and not at all where "
    f"these are fewer than {MIN_FILMS} or hold no error; the data hold far more cancers than screening does.",
)


def limits_of(trained_on: TrainedOn) -> tuple[str, ...]:
    """Return the limits of a model that was trained on such films."""
    return (f"Trained on one data set of {kinds_of_films(trained_on)}; it knows nothing about other films.", *LIMITS)


class PreprocessingCard(Record):
    """Parameters of `shared.imaging.preprocess` that the network expects."""

    size: int = Field(description="edge of the square network input, pixels")
    segmentation: int = Field(description="version of the segmentation")


class FormatReport(Record):
    """Agreement of a faster number format with the network on the validation films."""

    films: int
    auc: float | None = Field(description="macro, of the network; None where a class was missing")
    decisions_equal: float = Field(description="part of the decisions at all operating points that are the same")
    offered: bool = Field(
        description="it is served: AUC within 0.005, at least 99% of the decisions equal, and at least 99% of the heat "
        "maps' peaks within a cell"
    )
    peaks_near: float | None = Field(
        None, description="part of the heat maps whose peak is within a cell; None: no maps, or published before it"
    )
    tolerance: float | None = Field(
        None,
        description="by which golden answers in this format may differ on another CPU, as a part of the largest logit; "
        "None: published before it, which means 0.05",
    )


class Int8Report(FormatReport):
    """Agreement of the 8-bit graph with the network on the validation films."""

    auc_int8: float | None


class Bfloat16Report(FormatReport):
    """Agreement of the network in bfloat16 with itself in single precision on the validation films."""

    auc_bfloat16: float | None
    emulated: bool = Field(description="the CPU that judged it has no instructions for bfloat16, and emulated them")


class ModelCard(Record):
    """Metadata, metrics and files of a published model.

    `metrics` are those of the recipe under `protocol`, over all folds: every film is predicted by a model that was
    trained without its patient; so are sensitivity and specificity of `operating_points`. The published weights are
    those of `fold`, chosen by its validation films; `temperature`, thresholds and bands come from the same films.
    """

    schema_number = 2  # terms, labelling, bfloat16

    network: Network = Field(description="architecture")
    version: str = Field(description="name of the version within its network")
    created: str = Field(description="date and time of publishing, UTC, ISO 8601")
    code_version: str = Field(description="release of Mammostack that trained it")
    code_sha256: str = Field("", description="digest of the code that trained it")
    run: str = Field(description="run that trained it")
    dataset: str = Field(description="data set that it was trained on")
    data_sha256: str = Field("", description="of the manifests of the images that it was trained on")
    synthetic: bool = Field(description="the films were generated: no figure says anything about people")
    protocol: Protocol = Field(
        description="how films are divided into folds: by patient, or as in the paper, which leaks"
    )
    fold: int = Field(description="fold whose weights are published")
    held_out_patients: tuple[str, ...] = Field(description="of whom the published weights have seen no film")
    seed: int = Field(description="seed of the run")
    classes: tuple[Label, ...] = Field(description="in the order of the network's outputs")
    preprocessing: PreprocessingCard = Field(description="what happens to a film before the network")
    recipe: TrainingRecipe = Field(description="how the network was trained")
    number_format: TrainingFormat | None = Field(
        None,
        description="of matrix products in training, which the recipe's precision and the machine decide; None: "
        "published before it was written down",
    )
    augmentation: str = Field(description="id of the augmentation recipe")
    weights: WeightsReport = Field(description="where the initial weights came from")
    parameters: int = Field(description="number of weights")
    metrics: ModelMetrics = Field(description="by cross-validation under the protocol")
    leaky_metrics: ModelMetrics | None = Field(
        None, description="of the same network by the protocol 'paper', which leaks; None where it was not tried"
    )
    temperature: float = Field(
        gt=0, description="that the published weights' logits are divided by; 1.0 changes nothing"
    )
    operating_points: tuple[OperatingPoint, ...] = Field(description="thresholds on the abnormal score")
    comparison: Comparison | None = Field(
        None,
        description="with the same view of the other breast; None: published before it, or from patients without both",
    )
    exam_rule: ExamRule | None = Field(
        None, description="how films make answers for breasts and exams, and how good; None: published before it"
    )
    int8: Int8Report | None = Field(None, description="None: there were too few validation films to judge it")
    bfloat16: Bfloat16Report | None = Field(
        None,
        description="None: published before it, too few validation films, or a CPU that can't compute in it; it is "
        "not served then",
    )
    trained_on: TrainedOn | None = Field(
        None, description="the training films of the published weights; None: published before it was written down"
    )
    inputs: InputDistribution | None = Field(None, description="of the training films; None: they were too few")
    golden_difference: float | None = Field(
        None, description="of the graph's golden answers from torch's; None: published before it was written down"
    )
    explainable: bool = Field(description="the class-activation map is one product with the last feature map")
    intended_use: str = Field(INTENDED_USE, description="what it may be used for")
    limits: tuple[str, ...] = Field(LIMITS, description="what it can't do")
    data_terms: str = Field(description="terms under which the data set may be used")
    terms: Terms | None = Field(
        None, description="the same with what they permit; None: published before it was written down"
    )
    labelling: str | None = Field(
        None, description="how labels were made of the data set's own findings; None: they are the data set's"
    )
    files: dict[str, str] = Field(description="SHA-256 of every other file of the version")
