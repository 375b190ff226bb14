"""The foreign protocols: the Open Inference Protocol v2 with its binary tensors, and KServe V1.

Their clients may send members that we do not know: these are passed over.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from shared.api.answer import WHOLE, Answer, absent
from shared.api.predictions import Probabilities
from shared.domain.records import Label

MOST_IMAGES = 8
"""Images that one request may hold."""

OutputName: TypeAlias = Literal["probabilities", "class", "score", "applies"]
Number: TypeAlias = float | str
"""An element of a tensor; class names are the strings."""


def _from_base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("base64 is text")
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise ValueError(f"it is not base64: {error}") from error


ImageFile: TypeAlias = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    WithJsonSchema({"type": "string", "format": "byte", "description": "an image file, base64"}),
]


class ForeignAsk(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class TensorParameters(ForeignAsk):
    binary_data_size: Annotated[int, Field(ge=0), WHOLE] | None = Field(
        None, description="bytes of this tensor behind the JSON"
    )


class OutputParameters(ForeignAsk):
    binary_data: bool | None = None


class InferParameters(ForeignAsk):
    binary_data_output: bool | None = None


class ImageTensor(ForeignAsk):
    name: Literal["image"]
    datatype: Literal["BYTES"]
    shape: list[Annotated[int, Field(ge=1, le=MOST_IMAGES), WHOLE]] = Field(
        min_length=1, max_length=2, description="[N] or [N, 1]"
    )
    parameters: TensorParameters | None = None
    data: list[ImageFile] | None = Field(
        None, min_length=1, max_length=MOST_IMAGES, description="absent with binary data alone"
    )


class OutputAsked(ForeignAsk):
    name: OutputName
    parameters: OutputParameters | None = None


class InferRequest(ForeignAsk):
    id: str | None = None
    parameters: InferParameters | None = None
    inputs: list[ImageTensor] = Field(min_length=1, max_length=1)
    outputs: list[OutputAsked] | None = Field(None, max_length=16, description="all, where none is named")


class BinarySize(Answer):
    binary_data_size: int


class OutputTensor(Answer):
    name: OutputName
    datatype: Literal["FP32", "BYTES"]
    shape: tuple[int, ...]
    parameters: BinarySize | None = absent()
    data: tuple[Number, ...] | None = absent("not with binary data")


class InferAnswer(Answer):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = absent()
    outputs: tuple[OutputTensor, ...]


class ServerMetadata(Answer):
    name: str
    version: str
    extensions: tuple[str, ...]


class ServerLive(Answer):
    live: bool = True


class ServerReady(Answer):
    """The protocol says `live`, kserve's client reads `ready`."""

    ready: bool = True
    live: bool = True


class TensorMetadata(Answer):
    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelMetadata(Answer):
    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


class ModelReady(Answer):
    name: str
    ready: bool = True


class EncodedImage(ForeignAsk):
    b64: ImageFile


class Instance(ForeignAsk):
    image: EncodedImage


class Instances(ForeignAsk):
    instances: list[Instance] = Field(min_length=1, max_length=MOST_IMAGES)


class InstancePrediction(Answer):
    label: Label = Field(alias="class")
    probabilities: Probabilities
    score: float
    applies: bool | None = Field(description="the model was trained on such films; null: its card does not tell")


class Predictions(Answer):
    predictions: tuple[InstancePrediction, ...]


class EncodedPicture(Answer):
    b64: str


class InstanceExplanation(Answer):
    label: Label = Field(alias="class")
    explained: Label = Field(description="whose evidence the map shows: the decision's at the point `screening`")
    heatmap: EncodedPicture


class Explanations(Answer):
    explanations: tuple[InstanceExplanation, ...]
