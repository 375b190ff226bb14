"""Decide which objects of a study are films, and which films are judged.

Only Digital Mammography For Presentation is taken at all; raw images, tomosynthesis, reports and all else are left
where they are. A film that was taken but can't be judged by a model of standard views is refused with a reason, which
stands in the report.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation

from services.gateway.films import FilmHeader
from shared.errors import UnsuitableKind
from shared.imaging.formats import dicom_metadata

FILM_CLASS = str(DigitalMammographyXRayImageStorageForPresentation)
"""Storage class of the films that are taken."""

FOUR_VIEWS = frozenset((side, view) for side in ("L", "R") for view in ("CC", "MLO"))
"""Sides and views of a complete exam."""

_PARTIAL = {"spot compression", "magnification", "partial view"}

Implants = Literal["skip", "process"]


@dataclass(frozen=True)
class Refusal:
    """Reason why a film is not judged: a code for programs and words for a person, without values of the header."""

    code: str
    detail: str


def refusal_of(film: FilmHeader, implants: Implants = "skip") -> Refusal | None:
    """Return why a film is not sent to the model; None if it is sent."""
    return next(_refusals(film, implants), None)


def is_complete(films: Iterator[FilmHeader] | list[FilmHeader], implants: Implants = "skip") -> bool:
    """Return True if both standard views of both breasts are there."""
    return {(film.side, film.view) for film in films if refusal_of(film, implants) is None} >= FOUR_VIEWS


def _refusals(film: FilmHeader, implants: Implants) -> Iterator[Refusal]:
    try:
        dicom_metadata.refuse_unsuitable(film.elements, film.sop_class)
    except UnsuitableKind as error:
        yield Refusal(error.kind, _KINDS.get(error.kind, "not a mammogram for presentation"))
    if film.text("NumberOfFrames") not in ("", "1"):
        yield Refusal("multi-frame", "an image with several frames")
    if film.text("BurnedInAnnotation").upper() == "YES":
        yield Refusal("burned-in-annotation", "annotations are burned into the image")
    about = dicom_metadata.metadata_of(film.elements, film.sop_class)
    if special := [modifier for modifier in about.view_modifiers or () if modifier in _PARTIAL]:
        yield Refusal("special-view", f"not a standard view: {', '.join(special)}")
    if about.implant and implants == "skip":
        yield Refusal("implant", "an implant is present")


_KINDS = {
    "for-processing": "an image For Processing",
    "tomosynthesis": "an image of tomosynthesis",
    "quality-control": "an image for quality control",
    "specimen": "an image of a specimen",
}
