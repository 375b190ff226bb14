"""The base of every stored record, and the classes of films."""

from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Label(StrEnum):
    """The three classes, from the least to the most severe."""

    NORMAL = "normal"
    BENIGN = "benign"
    MALIGNANT = "malignant"


CLASSES: tuple[Label, ...] = tuple(Label)


class Record(BaseModel):
    """A frozen model that rejects unknown fields, so that stale objects are noticed.

    Attributes:
        schema_number: of the layout of a kind of stored record; grows when a release of before can't read it any more.
    """

    schema_number: ClassVar[int] = 1

    model_config = ConfigDict(frozen=True, extra="forbid")
