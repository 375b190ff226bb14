"""Batches of predictions: what is asked for, how far it is, and the lines of the results."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from shared.api.answer import Answer, Ask, Query, absent
from shared.api.predictions import Finding
from shared.domain.records import Label

MOST_BATCH_IMAGES = 100_000
MOST_BATCHES_LISTED = 100

BatchState = Literal["queued", "running", "done", "cancelled"]
ObjectKey = Annotated[str, Field(min_length=1, max_length=1024)]


class BatchRequest(Ask):
    """Either `keys` or `prefix`. Both name objects of the store that the service uses, below the one prefix from which
    it takes batches (MAMMO_BATCH_PREFIX)."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["keys"]}, {"required": ["prefix"]}]})

    keys: tuple[ObjectKey, ...] = Field(
        default_factory=tuple, min_length=1, max_length=MOST_BATCH_IMAGES, description="image files"
    )
    prefix: str = Field(
        default_factory=str, min_length=1, max_length=1024, description="all objects below it; ends with a slash"
    )
    operating_point: str = Field("screening", max_length=40, description="one of the model's card")
    explain: Literal["heatmap"] | None = Field(None, description="heatmap: stores the class-activation maps")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.keys) == bool(self.prefix):
            raise ValueError("give either keys or a prefix")
        return self


class BatchQuery(Query):
    limit: int = Field(20, ge=1, le=MOST_BATCHES_LISTED, description="the newest ones")


class Batch(Answer):
    """A batch and how far it is. Every image gets one line of the results, with a finding or with a problem."""

    id: str
    state: BatchState
    network: str
    version: str = Field(description="of the model: the one in use when the batch was made, to the end")
    operating_point: str
    explain: Literal["heatmap"] | None
    images: int
    done: int = Field(description="images that have their line")
    failed: int = Field(description="of them, those with a problem")
    created: str
    ended: str | None


class BatchList(Answer):
    """The batches of the key that asks, the newest first."""

    batches: tuple[Batch, ...]


class ImageProblem(Answer):
    """Why there is no finding: a code for programs, a line for a person, as `/v1/predictions` would say them."""

    code: str
    detail: str


class BatchLine(Answer):
    """One line of the results."""

    index: int = Field(description="of the image in the batch, from 0")
    key: str
    finding: Finding | None = absent()
    problem: ImageProblem | None = absent()
    heatmap: str | None = absent("the key of the class-activation map, a PNG with transparency")
    heatmap_class: Label | None = absent("whose evidence the map shows: the decision's")
