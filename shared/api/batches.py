"""Batches of predictions: request, state and result lines."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from shared.api.base import QueryModel, RequestModel, ResponseModel, absent
from shared.api.predictions import Finding
from shared.domain.records import Label

MOST_BATCH_IMAGES = 100_000
MOST_BATCHES_LISTED = 100

BatchState = Literal["queued", "running", "done", "cancelled"]
ObjectKey = Annotated[str, Field(min_length=1, max_length=1024)]


class BatchRequest(RequestModel):
    """Images of a batch, either by `keys` or by `prefix`.

    All keys must lie below the prefix configured with MAMMO_BATCH_PREFIX.
    """

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["keys"]}, {"required": ["prefix"]}]})

    keys: tuple[ObjectKey, ...] = Field(
        default_factory=tuple, min_length=1, max_length=MOST_BATCH_IMAGES, description="Store keys of image files"
    )
    prefix: str = Field(
        default_factory=str,
        min_length=1,
        max_length=1024,
        description="Predict all objects below this prefix; ends with a slash",
    )
    operating_point: str = Field("screening", max_length=40, description="An operating point of the model's card")
    explain: Literal["heatmap"] | None = Field(None, description="heatmap: store class-activation maps")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.keys) == bool(self.prefix):
            raise ValueError("give either keys or a prefix, not both and not neither")
        return self


class BatchQuery(QueryModel):
    """Query of the list of batches."""

    limit: int = Field(20, ge=1, le=MOST_BATCHES_LISTED, description="Maximum number of batches, the newest first")


class Batch(ResponseModel):
    """State of a batch. Every image gets one result line: a finding or a problem."""

    id: str
    state: BatchState
    network: str
    version: str = Field(description="Model version, fixed when the batch is created")
    operating_point: str
    explain: Literal["heatmap"] | None
    images: int
    done: int = Field(description="Number of images with a result line")
    failed: int = Field(description="Number of images whose result is a problem")
    created: str
    ended: str | None


class BatchList(ResponseModel):
    """Batches of the calling key's name, the newest first."""

    batches: tuple[Batch, ...]


class ImageProblem(ResponseModel):
    """Reason for a missing finding: a code for programs and a line for a person."""

    code: str
    detail: str


class BatchLine(ResponseModel):
    """A result line."""

    index: int = Field(description="Index of the image in the batch, from 0")
    key: str
    finding: Finding | None = absent()
    problem: ImageProblem | None = absent()
    heatmap: str | None = absent("Store key of the class-activation map, a PNG with transparency")
    heatmap_class: Label | None = absent("Class that the map explains: the class of the decision")
