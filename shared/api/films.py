"""Properties of a film, their sources, and applicability of the model."""

from typing import Literal

from pydantic import Field

from shared.api.base import ResponseModel, absent
from shared.domain.films import Acquisition
from shared.modelling.applicability import Fact

Laterality = Literal["L", "R"]
ViewSource = Literal["stated", "file", "shape"]
SideSource = Literal["stated", "file", "label", "shape"]


class FilmView(ResponseModel):
    """View of a film and its source: sender, file, or shape of the breast."""

    name: str | None = Field(description="View, such as CC or MLO; null: unknown")
    source: ViewSource | None = Field(description="Source of the view; null: unknown")
    score: float | None = absent("Confidence of a view inferred from the shape, 0.5 to 1")
    modifiers: tuple[str, ...] | None = Field(
        description="View modifiers, such as magnification or implant displaced; null: unknown"
    )


class FilmSide(ResponseModel):
    """Side of a film and its source: sender, file, label, or side of the chest wall."""

    name: Laterality
    source: SideSource


class FilmWindow(ResponseModel):
    """A display window of the file; centre and width in grey levels of `bits`."""

    name: str | None
    centre: float
    width: float


class FilmAbout(ResponseModel):
    """Properties of a film other than its pixels."""

    view: FilmView
    laterality: FilmSide
    chest_wall: Literal["left", "right"] = Field(
        description="Edge of the image at which the chest wall lies, independent of the stated side"
    )
    acquisition: Acquisition | None = Field(description="How the film was acquired; null: the file does not state it")
    vendor: str | None = Field(description="Vendor of the device, normalised; null: the file does not state it")
    implant: bool | None = Field(description="Breast implant present; null: the file does not state it")
    windows: tuple[FilmWindow, ...] = Field(description="Display windows of the file, in its order")
    disagreements: tuple[str, ...] = Field(
        description="Contradictions between sender, file and image about view and side"
    )
    notes: tuple[str, ...] = Field(description="Oddities of the file and ignored parts")


class ApplicabilityAnswer(ResponseModel):
    """Applicability: comparison of the film's kind with the training films.

    Drift is measured separately: it compares the pixels of many films with those of the training films.
    """

    applies: bool | None = Field(
        description="false: the prediction for this film is meaningless; null: the model's card lacks the data"
    )
    reasons: tuple[str, ...] = Field(description="Sentences for display")
    misfits: tuple[Fact, ...] = Field(description="Known properties of the film that no training film had")
    unknown: tuple[Fact, ...] = Field(description="Properties that can't be compared")
