"""Lesions and where they are on a film, whatever a data set draws around them.

Coordinates are pixels from the top left edge of the film, x to the right and y downwards.
"""

import math
from typing import TypeAlias

from pydantic import Field

from shared.domain.records import Label, Record

Point: TypeAlias = tuple[float, float]

_CORNERS = 64
_EQUAL_AREA = math.sqrt(2 * math.pi / (_CORNERS * math.sin(2 * math.pi / _CORNERS)))
"""Radius of a regular polygon of the same area as the unit circle."""


class Lesion(Record):
    """An abnormality: its kind (in MIAS CALC, CIRC, ...), its label, and its outline.

    A circle is stored as such; a box, the contour of a mask, or a single point as `outline`. Neither is there if the
    lesion was not localised. What follows ingestion uses `polygon`.
    """

    kind: str
    label: Label
    x: float | None = None
    y: float | None = None
    radius: float | None = None
    outline: tuple[Point, ...] | None = Field(
        None, description="corners, in order; one is a point", exclude_if=lambda outline: outline is None
    )

    @classmethod
    def of_box(cls, kind: str, label: Label, box: tuple[float, float, float, float]) -> "Lesion":
        """Return a lesion in a box: left, top, right, bottom."""
        left, top, right, bottom = box
        return cls(kind=kind, label=label, outline=((left, top), (right, top), (right, bottom), (left, bottom)))

    @property
    def polygon(self) -> tuple[Point, ...]:
        """The corners of the outline, one for a point, none if the lesion was not localised.

        A circle becomes a regular polygon of the same area.
        """
        if self.outline is not None:
            return self.outline
        if self.x is None or self.y is None:
            return ()
        if not self.radius:
            return ((self.x, self.y),)
        reach, step = self.radius * _EQUAL_AREA, 2 * math.pi / _CORNERS
        angles = [step * corner for corner in range(_CORNERS)]
        return tuple((self.x + reach * math.cos(angle), self.y + reach * math.sin(angle)) for angle in angles)

    def mirrored(self, width: int) -> "Lesion":
        """Return the lesion on the film (`width` pixels wide) with left and right swapped.

        Positions are measured from the film's edges.
        """
        if self.outline is not None:
            return self.model_copy(update={"outline": tuple((width - x, y) for x, y in self.outline)})
        return self if self.x is None else self.model_copy(update={"x": width - self.x})
