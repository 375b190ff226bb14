"""The base of every stored record, and the classes of films."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Label(StrEnum):
    """The three classes, from the least to the most severe."""

    NORMAL = "normal"
    BENIGN = "benign"
    MALIGNANT = "malignant"


CLASSES: tuple[Label, ...] = tuple(Label)


class Record(BaseModel):
    """A frozen model that rejects unknown fields, so that stale objects are noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
