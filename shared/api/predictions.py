"""What is said of films: the answers of `/v1/predictions`, and what a line of a batch's results holds."""

from typing import Literal

from pydantic import Field

from shared.api.answer import Answer, Query, absent
from shared.api.films import ApplicabilityAnswer, FilmAbout
from shared.domain.records import Label
from shared.modelling.calibration import OperatingPointName, Verdict
from shared.modelling.metrics import Interval

LONGEST_TIMEOUT_MS = 60_000


MapForm = Literal["overlay", "grey"]
"""How an activation map is drawn: coloured with transparency, or in grey levels, for programs."""

ClassName = Literal["normal", "benign", "malignant"]
_WHOSE = (
    "whose evidence the map shows; without it that of the decision: of an abnormal film the likelier one of benign and "
    "malignant, else normal"
)


class Waiting(Query):
    timeout_ms: int | None = Field(None, ge=1, le=LONGEST_TIMEOUT_MS, description="how long the work may not be begun")


class PredictionQuery(Waiting):
    operating_point: OperatingPointName = Field("screening", description="one of the model's card")
    explain: Literal["heatmap"] | None = Field(None, description="heatmap: adds the class-activation map")
    explained: ClassName | None = Field(None, alias="class", description=_WHOSE)
    form: MapForm = Field("overlay", description="of the map: coloured with transparency, or grey levels")
    view: Literal["1", "deep"] | None = Field(
        None, description="1: adds the film as a browser can show it, in 8 bits; deep: in all its bits, packed"
    )


class ExplanationQuery(Waiting):
    operating_point: OperatingPointName = Field("screening", description="one of the model's card")
    explained: ClassName | None = Field(None, alias="class", description=_WHOSE)
    form: MapForm = Field("overlay", description="coloured with transparency, or grey levels")


class Probabilities(Answer):
    """Calibrated; they sum to 1."""

    normal: float
    benign: float
    malignant: float


class PointInUse(Answer):
    """The operating point of the decision, and what it does to held-out films, as the model's card says."""

    name: str
    threshold: float
    sensitivity: Interval
    specificity: Interval


class DecisionAnswer(Answer):
    answer: Verdict = Field(description="uncertain: a reader has to look")
    score: float = Field(description="how abnormal: 1 - P(normal)")
    operating_point: PointInUse
    uncertain_between: tuple[float, float] = Field(description="scores from the first to the second are uncertain")


class GateAnswer(Answer):
    """Whether the image is a mammogram. One that is not gets an error, which holds this as well."""

    passed: bool
    score: float = Field(ge=0, le=1, description="0: certainly none, 1: certainly one")
    reason: str


class ImageFacts(Answer):
    """All that is read from the file; `width` and `height` (pixels) are the file's own frame."""

    width: int
    height: int
    bits: int
    format: str
    reduction: int = Field(description="it was decoded that many times smaller along each edge")
    spacing_mm: tuple[float, float] | None = absent("from row to row, from column to column")
    laterality: Literal["L", "R"] | None = absent()
    view: str | None = absent("MLO, CC and such")


class Box(Answer):
    """Pixels of the film as it was sent."""

    x: int
    y: int
    width: int
    height: int


class Seconds(Answer):
    """What the parts of the work took; `queue` is the time before it began."""

    queue: float | None = absent()
    decode: float
    segment: float
    network: float
    explain: float | None = absent()
    total: float


class Judgement(Answer):
    """What is said of a film, of a breast, of an exam, or of a film beside the same view of the other breast."""

    label: Label = Field(alias="class")
    probabilities: Probabilities
    decision: DecisionAnswer


class Finding(Judgement):
    """What is said of one film. It is all small: no outline, no pictures."""

    gate: GateAnswer
    image: ImageFacts
    about: FilmAbout | None = absent("always there, but in results of batches of earlier releases")
    applicability: ApplicabilityAnswer | None = absent("always there, but in results of batches of earlier releases")
    breast_box: Box
    seconds: Seconds


class HeatMap(Answer):
    label: Label = Field(alias="class", description="whose evidence it shows")
    form: MapForm = "overlay"
    png: str = Field(description="base64 of a PNG of the film's aspect, at most 512 pixels long, to be laid over it")


class View(Answer):
    """The film as a picture. Browsers read 8 bits of a channel at most, so a deep one is packed into two channels."""

    png: str = Field(description="base64 of a PNG, its longer edge at most 2048 pixels")
    bits: int = Field(8, description="of a grey level: levels go from 0 to 2^bits - 1")
    packing: Literal["grey", "red-green"] = Field(
        "grey", description="red-green: a grey level is 256 times its red and once its green"
    )


class FilmAnswer(Finding):
    """What is said of one film, with what draws it. `heatmap` is there if it was asked for and the network has one."""

    outline: tuple[tuple[int, int], ...] = Field(description="the parenchyma as a polygon, pixels of the film as sent")
    heatmap: HeatMap | None = absent()
    view: View | None = absent()


class ModelInUse(Answer):
    network: str
    version: str
    file: str = Field(
        description="which of the version's files answers: model.onnx, model.int8.onnx, model.safetensors"
    )
    sha256: str = Field(description="of that file")
    dataset: str
    synthetic: bool = Field(description="trained on made-up films: good for trying the software, for nothing else")


class Signature(Answer):
    """Who says it."""

    request_id: str
    model: ModelInUse
    notice: str


class PredictionAnswer(FilmAnswer, Signature):
    """Of one image."""
