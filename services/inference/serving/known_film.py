"""Determine a film's view and side from sender, file and shape; note conflicts.

The sender's statement overrides the file, and the file overrides the shape of the breast, which every film has. The
side of the chest wall is always determined from the pixels.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from shared.api.films import Laterality, SideSource, ViewSource
from shared.imaging.image import FileMetadata, Image
from shared.imaging.segmentation.segment import Segmentation
from shared.imaging.segmentation.view import View

STANDARD_VIEWS = ("CC", "MLO")
"""Those of a screening exam, of which the two breasts are compared."""

_SURE = 0.8
"""The score from which the shape of a breast may contradict what is said of its view."""

StatedView: TypeAlias = Literal["CC", "MLO", "ML", "LM", "LMO", "SIO", "ISO", "FB", "XCC", "XCCL", "XCCM"]
"""Views that a sender may state: the view positions of DICOM (PS3.3, C.8.11.7)."""


@dataclass(frozen=True)
class ViewAndSide:
    """View and side stated by the sender; None: not stated."""

    view: StatedView | None = None
    side: Laterality | None = None


UNSTATED = ViewAndSide()


@dataclass(frozen=True)
class KnownFilm:
    """View and side of a film with their sources, and further facts of its file."""

    view: str | None
    view_source: ViewSource | None
    view_score: float | None
    modifiers: tuple[str, ...] | None
    side: Laterality
    side_source: SideSource
    disagreements: tuple[str, ...]
    file: FileMetadata

    @property
    def standard_view(self) -> str | None:
        """Return CC or MLO if the film is known to show that view whole and unmodified."""
        return self.view if self.view in STANDARD_VIEWS and self.modifiers == () else None


def known_film(image: Image, segmentation: Segmentation, stated: ViewAndSide) -> KnownFilm:
    """Put together what the sender, the file and the picture say."""
    view, view_source, score = _view(image, segmentation.view, stated)
    by_shape: Laterality = "R" if segmentation.flipped else "L"
    side, side_source = _side(image, by_shape, stated)
    # Where the file says nothing of modifiers, as plain images can't, a view that is known is that view unmodified: a
    # sender would have to say otherwise, and a part of a breast has not the shape by which a view is inferred.
    modifiers = image.metadata.view_modifiers
    if modifiers is None and view is not None:
        modifiers = ()
    return KnownFilm(
        view=view,
        view_source=view_source,
        view_score=score,
        modifiers=modifiers,
        side=side,
        side_source=side_source,
        disagreements=(*_of_view(image, segmentation.view, view, stated), *_of_side(image, stated, side, by_shape)),
        file=image.metadata,
    )


def _view(image: Image, seen: View, stated: ViewAndSide) -> tuple[str | None, ViewSource | None, float | None]:
    """Return the view, its source, and the score of an inferred one.

    The score is None if the inference is too uncertain to be used.
    """
    if stated.view is not None:
        return stated.view, "stated", None
    if image.view is not None:
        return image.view, "file", None
    if seen.name is not None:
        return seen.name, "shape", round(seen.score, 3)
    return None, None, None


def _side(image: Image, by_shape: Laterality, stated: ViewAndSide) -> tuple[Laterality, SideSource]:
    if stated.side is not None:
        return stated.side, "stated"
    if image.laterality is not None:
        return image.laterality, "file"
    return by_shape, "shape"


def _of_view(image: Image, seen: View, view: str | None, stated: ViewAndSide) -> list[str]:
    """Describe conflicts between sender, file and shape of the breast about the view."""
    found = []
    if stated.view and image.view and stated.view != image.view:
        found.append(f"the stated view is {stated.view}, but the file says {image.view}")
    surely = seen.source == "shape" and seen.score >= _SURE
    if surely and view in STANDARD_VIEWS and seen.name in STANDARD_VIEWS and view != seen.name:
        found.append(f"the view is {view} by its source, but the shape of the breast indicates {seen.name}")
    return found


def _of_side(image: Image, stated: ViewAndSide, side: Laterality, by_shape: Laterality) -> list[str]:
    found = []
    if stated.side and image.laterality and stated.side != image.laterality:
        found.append(f"the stated side is {stated.side}, but the file says {image.laterality}")
    if side != by_shape:
        wall = "right" if by_shape == "R" else "left"
        found.append(f"the side is {side} by its source, but the chest wall on the {wall} indicates {by_shape}")
    return found
