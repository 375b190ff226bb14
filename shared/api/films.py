"""A film beyond its probabilities: what is known of it, from where, and whether the model was made for such films."""

from typing import Literal

from pydantic import Field

from shared.api.answer import Answer, absent
from shared.domain.films import Acquisition
from shared.modelling.applicability import Fact

Side = Literal["L", "R"]
ViewSource = Literal["stated", "file", "shape"]
SideSource = Literal["stated", "file", "label", "shape"]


class FilmView(Answer):
    """The view of a film, and who says so: the sender, the file, or the shape of the breast."""

    name: str | None = Field(description="CC, MLO and such; null: not known")
    source: ViewSource | None = Field(description="null: not known")
    score: float | None = absent("how sure a view is that was inferred from the shape, 0.5 to 1")
    modifiers: tuple[str, ...] | None = Field(description="magnification, implant displaced and such; null: not known")


class FilmSide(Answer):
    """The breast of a film, and who says so: the sender, the file, a label, or the side of the chest wall."""

    name: Side
    source: SideSource


class FilmWindow(Answer):
    """A display window that the file proposes; centre and width are grey levels of the film's `bits`."""

    name: str | None
    centre: float
    width: float


class FilmAbout(Answer):
    """All that is known of a film apart from its pixels. `disagreements` and `notes` are sentences for a person."""

    view: FilmView
    laterality: FilmSide
    chest_wall: Literal["left", "right"] = Field(
        description="the edge of the picture at which the chest wall is seen, whatever is said of the side"
    )
    acquisition: Acquisition | None = Field(description="null: the file does not say")
    vendor: str | None = Field(description="of the device, under one name; null: the file does not say")
    implant: bool | None = Field(description="null: the file does not say")
    windows: tuple[FilmWindow, ...] = Field(description="the file's, in their order")
    disagreements: tuple[str, ...] = Field(description="of what sender, file and picture say of view and side")
    notes: tuple[str, ...] = Field(description="what is odd in the file or was passed over")


class ApplicabilityAnswer(Answer):
    """Whether the model was trained on films of this kind, as far as is known.

    Drift is another question: it compares the pixels of many films with those of the training films.
    """

    applies: bool | None = Field(
        description="false: its answer about this film means nothing; null: the model's card does not tell"
    )
    reasons: tuple[str, ...] = Field(description="sentences for a person")
    misfits: tuple[Fact, ...] = Field(description="known facts of the film of which no training film was")
    unknown: tuple[Fact, ...] = Field(description="facts that can't be compared")
