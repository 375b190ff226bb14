"""Breast segmentation: orient a film and blacken everything but the parenchyma."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32Array
from shared.imaging.image import Grey, Image, Pixels, to_8bit, unsigned
from shared.imaging.segmentation.breast import BoundingBox, ReducedFilm, enlarged, find_breast, fine
from shared.imaging.segmentation.gate import Gate, judge
from shared.imaging.segmentation.orientation import chest_wall_is_right
from shared.imaging.segmentation.pectoral import find_pectoral
from shared.imaging.segmentation.regions import around, largest
from shared.imaging.segmentation.upright import upright
from shared.imaging.segmentation.view import View, view_of

SEGMENTATION_VERSION: int = 6
"""Version of the masks of `segment` and of the inputs of `preprocess`; raise it with any change of either.

A model's card names the version that it was trained with."""

_FINE = 4  # binary digits of a pixel in which the edge of the muscle is drawn


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A segmented film.

    All arrays are in the oriented frame, the chest wall on the left, except those described as in the original frame.
    Properties are computed on access.
    """

    pixels: Pixels
    """The film (H x W) in the original frame, with its own depth."""
    halved: Grey | None
    """The film in the original frame at half its size, if it has 8 bits and its mask was drawn at that size."""
    drawn: Grey
    """The mask at the size that it was drawn at: the film's, or half of it."""
    drawn_box: BoundingBox
    """The box of `drawn`, in its pixels."""
    flipped: bool
    """True if left and right of `pixels` are exchanged to bring the chest wall to the left."""
    reduced: ReducedFilm
    """The reduced film on which the breast was found."""
    view: View
    """That of the film: as the file declares it, or film_view from the shape of the breast."""

    @property
    def times(self) -> int:
        """Pixels of the film for one of `drawn` in each direction: 1 or 2."""
        return len(self.pixels) // len(self.drawn)

    @cached_property
    def mask(self) -> Grey:
        """Uint8, H x W, 255 inside the parenchyma: the breast without the pectoral muscle."""
        return self._of_full_size(self.drawn)

    @property
    def box(self) -> BoundingBox:
        """Return the box of `mask`."""
        x, y, width, height = (self.times * length for length in self.drawn_box)
        return x, y, width, height

    @property
    def oriented(self) -> Pixels:
        """The film with the chest wall on the left: a view of `pixels`."""
        return self.pixels[:, ::-1] if self.flipped else self.pixels

    @cached_property
    def film(self) -> Pixels:
        """The film (H x W) with its own depth, 0 outside `mask`."""
        oriented = cv2.flip(self.pixels, 1) if self.flipped else self.pixels
        return unsigned(cv2.copyTo(oriented, self.mask))

    @cached_property
    def breast(self) -> Grey:
        """Uint8, H x W, 255 inside the breast, with the pectoral muscle."""
        return self._of_full_size(enlarged(self.reduced.outline, self.drawn.shape)[0])

    @cached_property
    def gate(self) -> Gate:
        """Return the result of the mammogram gate."""
        return judge(self.reduced)

    def _of_full_size(self, mask: Grey) -> Grey:
        if self.times == 1:
            return mask
        larger = cv2.resize(mask, None, fx=self.times, fy=self.times, interpolation=cv2.INTER_NEAREST)
        return np.asarray(larger, np.uint8)


def segment(pixels: Pixels, bits: int = 8, view: str | None = None) -> Segmentation:
    """Segment a film (H x W) of any size and laterality, rotated by up to 30 degrees.

    The breast is found on the upper 8 of `bits`.

    Raises:
        NotAMammogram: there is no breast.
    """
    shallow = to_8bit(Image(pixels, bits))
    fine_film = fine(shallow)
    reduced = find_breast(fine_film)
    flipped = chest_wall_is_right(reduced)
    if flipped:
        reduced = reduced.mirrored()
    # Half of a film of MIAS is what the network's input is made of: a mask that was drawn finer would be halved again.
    half = pixels.shape == (2 * fine_film.shape[0], 2 * fine_film.shape[1])
    breast = upright(reduced)
    film_view = view_of(breast, view)
    parenchyma = _without_muscle(reduced, find_pectoral(breast)) if film_view.shows_muscle else reduced.outline
    drawn, box = enlarged(parenchyma, (fine_film if half else pixels).shape)
    return Segmentation(
        pixels, fine_film if half and shallow is pixels else None, drawn, box, flipped, reduced, film_view
    )


def _without_muscle(reduced: ReducedFilm, muscle: Float32Array) -> npt.NDArray[np.uint8]:
    """Return the outline of the largest part of the breast outside the muscle (N x 2)."""
    if not len(muscle):
        return reduced.outline
    outline = reduced.outline.copy()
    cv2.fillPoly(outline, [np.rint(muscle * 2**_FINE).astype(np.int32)], 0, cv2.LINE_AA, _FINE)
    region, _ = largest((outline > 127).view(np.uint8), "only muscle was found on the film")
    return around(outline, region)
