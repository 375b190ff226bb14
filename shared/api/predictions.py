"""Predictions of single films: `/v1/predictions` and the lines of batches."""

from typing import Literal

from pydantic import Field

from shared.api.base import QueryModel, ResponseModel, absent
from shared.api.films import ApplicabilityAnswer, FilmAbout
from shared.domain.records import Label
from shared.modelling.bootstrap import Interval
from shared.modelling.calibration import OperatingPointName, Verdict

LONGEST_TIMEOUT_MS = 60_000


HeatmapStyle = Literal["overlay", "grey"]
"""How an activation map is drawn: coloured with transparency, or in grey levels, for programs."""

ClassName = Literal["normal", "benign", "malignant"]
_WHOSE = (
    "Class to explain; default: the class of the decision, which for an abnormal film is the likelier of benign and "
    "malignant, else normal"
)


class TimeoutQuery(QueryModel):
    """Query with a limit of the waiting time."""

    timeout_ms: int | None = Field(
        None, ge=1, le=LONGEST_TIMEOUT_MS, description="Maximum waiting time before processing starts, in ms"
    )


class PredictionQuery(TimeoutQuery):
    """Query of a prediction."""

    operating_point: OperatingPointName = Field("screening", description="An operating point of the model's card")
    explain: Literal["heatmap"] | None = Field(None, description="heatmap: add the class-activation map")
    explained: ClassName | None = Field(None, alias="class", description=_WHOSE)
    form: HeatmapStyle = Field("overlay", description="Style of the map: coloured with transparency, or grey levels")
    view: Literal["1", "deep"] | None = Field(
        None, description="1: add the film as an 8-bit PNG; deep: as a PNG with all its bits, packed"
    )


class ExplanationQuery(TimeoutQuery):
    """Query of a class-activation map."""

    operating_point: OperatingPointName = Field("screening", description="An operating point of the model's card")
    explained: ClassName | None = Field(None, alias="class", description=_WHOSE)
    form: HeatmapStyle = Field("overlay", description="Style of the map: coloured with transparency, or grey levels")


class Probabilities(ResponseModel):
    """Calibrated probabilities; they sum to 1."""

    normal: float
    benign: float
    malignant: float


class PointInUse(ResponseModel):
    """Operating point of a decision, with its metrics on held-out films."""

    name: str
    threshold: float
    sensitivity: Interval
    specificity: Interval


class DecisionAnswer(ResponseModel):
    """Decision at an operating point."""

    answer: Verdict = Field(description="uncertain: a radiologist must read the film")
    score: float = Field(description="Abnormal score, 1 - P(normal)")
    operating_point: PointInUse
    uncertain_between: tuple[float, float] = Field(description="Range of scores that give the answer uncertain")


class GateAnswer(ResponseModel):
    """Result of the mammogram gate; a rejected image's problem document has it too."""

    passed: bool
    score: float = Field(ge=0, le=1, description="Similarity to a mammogram, from 0 (certainly none) to 1")
    reason: str


class ImageFacts(ResponseModel):
    """Properties of the file; `width` and `height` are pixels of the stored image."""

    width: int
    height: int
    bits: int
    format: str
    reduction: int = Field(description="Factor by which each edge was reduced on decoding")
    spacing_mm: tuple[float, float] | None = absent("Pixel spacing in mm: between rows, between columns")
    laterality: Literal["L", "R"] | None = absent()
    view: str | None = absent("View of the file, such as MLO or CC")


class Box(ResponseModel):
    """Rectangle in pixels of the film as sent."""

    x: int
    y: int
    width: int
    height: int


class Seconds(ResponseModel):
    """Duration of each processing step; `queue` is the waiting time before the first."""

    queue: float | None = absent()
    decode: float
    segment: float
    network: float
    explain: float | None = absent()
    total: float


class Judgement(ResponseModel):
    """Class, probabilities and decision of a film, a breast or an exam."""

    label: Label = Field(alias="class")
    probabilities: Probabilities
    decision: DecisionAnswer


class Finding(Judgement):
    """Finding of one film, without outline and images."""

    gate: GateAnswer
    image: ImageFacts
    about: FilmAbout | None = absent("Absent only from batch results of earlier releases")
    applicability: ApplicabilityAnswer | None = absent("Absent only from batch results of earlier releases")
    breast_box: Box
    seconds: Seconds


class HeatMap(ResponseModel):
    """A class-activation map."""

    label: Label = Field(alias="class", description="Class that the map explains")
    form: HeatmapStyle = "overlay"
    png: str = Field(
        description="PNG in base64 to overlay on the film: same aspect ratio, longer edge at most 512 pixels"
    )


class FilmImage(ResponseModel):
    """The film as a PNG; more than 8 bits are packed into two channels for browsers."""

    png: str = Field(description="PNG in base64, longer edge at most 2048 pixels")
    bits: int = Field(8, description="Bits per grey level: levels range from 0 to 2^bits - 1")
    packing: Literal["grey", "red-green"] = Field("grey", description="red-green: grey level = 256 * red + green")


class FilmAnswer(Finding):
    """Finding of one film with its outline and, if requested, its map and image.

    `heatmap` is present if it was requested and the network has one.
    """

    outline: tuple[tuple[int, int], ...] = Field(
        description="Outline of the parenchyma: polygon in pixels of the film as sent"
    )
    heatmap: HeatMap | None = absent()
    view: FilmImage | None = absent()


class ModelInUse(ResponseModel):
    """Model version and file that made a prediction."""

    network: str
    version: str
    file: str = Field(description="File in use: model.onnx, model.int8.onnx or model.safetensors")
    sha256: str = Field(description="SHA-256 of the file")
    engine: str | None = absent(
        "Library and number format in use: onnx, openvino, openvino-bf16, onnx-int8, openvino-int8 or torch"
    )
    dataset: str
    synthetic: bool = Field(description="Trained on synthetic films: for testing the software only")


class Signature(ResponseModel):
    """Origin of a prediction: request, model and notice of use."""

    request_id: str
    model: ModelInUse
    notice: str


class PredictionAnswer(FilmAnswer, Signature):
    """Prediction of one image."""
