"""Types of the Open Inference Protocol v2 and of KServe V1.

Unknown members in requests are ignored, because clients of these protocols may send them.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from shared.api.base import WHOLE, ResponseModel, absent
from shared.api.predictions import Probabilities
from shared.domain.records import Label

MOST_IMAGES = 8
"""Images that one request may hold."""

OutputName: TypeAlias = Literal["probabilities", "class", "score", "applies"]
Number: TypeAlias = float | str
"""An element of a tensor; class names are the strings."""


def _from_base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("base64 must be a string")
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise ValueError(f"invalid base64: {error}") from error


Base64Image: TypeAlias = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    WithJsonSchema({"type": "string", "format": "byte", "description": "Image file in base64"}),
]


class LenientRequestModel(BaseModel):
    """A document received by a foreign protocol; unknown members are ignored."""

    model_config = ConfigDict(frozen=True, strict=True)


class TensorParameters(LenientRequestModel):
    """Parameters of an input tensor."""

    binary_data_size: Annotated[int, Field(ge=0), WHOLE] | None = Field(
        None, description="Number of bytes of this tensor after the JSON"
    )


class OutputParameters(LenientRequestModel):
    """Parameters of a requested output."""

    binary_data: bool | None = None


class InferParameters(LenientRequestModel):
    """Parameters of an inference request."""

    binary_data_output: bool | None = None


class ImageTensor(LenientRequestModel):
    """The input tensor: image files as BYTES elements."""

    name: Literal["image"]
    datatype: Literal["BYTES"]
    shape: list[Annotated[int, Field(ge=1, le=MOST_IMAGES), WHOLE]] = Field(
        min_length=1, max_length=2, description="[N] or [N, 1], N: number of images"
    )
    parameters: TensorParameters | None = None
    data: list[Base64Image] | None = Field(
        None, min_length=1, max_length=MOST_IMAGES, description="Images in base64; absent if binary data is used"
    )


class RequestedOutput(LenientRequestModel):
    """A requested output."""

    name: OutputName
    parameters: OutputParameters | None = None


class InferRequest(LenientRequestModel):
    """An inference request."""

    id: str | None = None
    parameters: InferParameters | None = None
    inputs: list[ImageTensor] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] | None = Field(None, max_length=16, description="Outputs to return; default: all")


class BinarySize(ResponseModel):
    """Size of a binary tensor, in bytes."""

    binary_data_size: int


class OutputTensor(ResponseModel):
    """An output tensor."""

    name: OutputName
    datatype: Literal["FP32", "BYTES"]
    shape: tuple[int, ...]
    parameters: BinarySize | None = absent()
    data: tuple[Number, ...] | None = absent("Values; absent if binary data is used")


class InferResponse(ResponseModel):
    """An inference response."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = absent()
    outputs: tuple[OutputTensor, ...]


class ServerMetadata(ResponseModel):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: tuple[str, ...]


class ServerLive(ResponseModel):
    """Liveness of the server."""

    live: bool = True


class ServerReady(ResponseModel):
    """Readiness of the server: `live` by the protocol, `ready` for kserve's client."""

    ready: bool = True
    live: bool = True


class TensorMetadata(ResponseModel):
    """Name, type and shape of a tensor."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelMetadata(ResponseModel):
    """Metadata of a model."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


class ModelReady(ResponseModel):
    """Readiness of a model."""

    name: str
    ready: bool = True


class EncodedImage(LenientRequestModel):
    """An image file in base64."""

    b64: Base64Image


class Instance(LenientRequestModel):
    """An instance of KServe V1: one image."""

    image: EncodedImage


class Instances(LenientRequestModel):
    """A request of KServe V1."""

    instances: list[Instance] = Field(min_length=1, max_length=MOST_IMAGES)


class InstancePrediction(ResponseModel):
    """Prediction of one instance."""

    label: Label = Field(alias="class")
    probabilities: Probabilities
    score: float
    applies: bool | None = Field(
        description="The model was trained on such films; null: the model's card lacks the data"
    )


class InstancePredictions(ResponseModel):
    """Predictions of all instances, in their order."""

    predictions: tuple[InstancePrediction, ...]


class EncodedPicture(ResponseModel):
    """A PNG in base64."""

    b64: str


class InstanceExplanation(ResponseModel):
    """Class-activation map of one instance."""

    label: Label = Field(alias="class")
    explained: Label = Field(description="Class that the map explains: the class of the decision at `screening`")
    heatmap: EncodedPicture


class InstanceExplanations(ResponseModel):
    """Class-activation maps of all instances, in their order."""

    explanations: tuple[InstanceExplanation, ...]
