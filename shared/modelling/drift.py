"""Drift of films from the training films: population stability index (PSI).

Two traits of each film are compared. The training films' deciles are in the model's card, so that ten equal parts of
them are compared with recent films.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from shared.domain.records import Record
from shared.imaging.image import Pixels

MIN_FILMS = 100
"""Least number of films of a distribution: with fewer, PSI is near the alarm's threshold by chance alone."""

PARTS = 10
_SPARSE = 8


class TraitsOfFilm(Record):
    """`brightness`: mean grey inside the parenchyma, 0 to 1; `breast_area`: its share."""

    brightness: float
    breast_area: float


class InputDistribution(Record):
    """The inner nine deciles of each trait over the training films."""

    films: int
    brightness: tuple[float, ...]
    breast_area: tuple[float, ...]


TRAITS = ("brightness", "breast_area")


def traits_of(film: Pixels, mask: npt.NDArray[np.uint8], bits: int = 8) -> TraitsOfFilm:
    """Measure the traits of a film from every eighth pixel of every eighth row.

    Args:
        film: H x W, oriented like its mask.
        mask: uint8, 255 inside; may have half the film's size.
        bits: depth of the film.
    """
    step = _SPARSE * mask.shape[0] // film.shape[0]
    inside = np.ascontiguousarray(mask[::step, ::step])
    brightness = cv2.mean(np.ascontiguousarray(film[::_SPARSE, ::_SPARSE]), mask=inside)[0] / (2**bits - 1)
    area = cv2.countNonZero(inside) / inside.size
    return TraitsOfFilm(brightness=round(brightness, 5), breast_area=round(area, 5))


def distribution(films: Sequence[TraitsOfFilm]) -> InputDistribution | None:
    """Compute the distribution of films; None for fewer than MIN_FILMS."""
    if len(films) < MIN_FILMS:
        return None
    at = np.arange(1, PARTS) / PARTS
    deciles = {
        trait: tuple(np.round(np.quantile([getattr(film, trait) for film in films], at), 5).tolist())
        for trait in TRAITS
    }
    return InputDistribution(films=len(films), **deciles)


def part_of(value: float, deciles: Sequence[float]) -> int:
    """Return the index of the tenth that contains a value."""
    return int(np.searchsorted(deciles, value, side="right"))


def psi(counts: npt.NDArray[np.int64]) -> float:
    """Return the index of films counted by part against the training films' tenths.

    Below 0.1 the distribution is unchanged, above 0.25 it has changed. Half a film is added to each part, because the
    logarithm of 0 is not defined.
    """
    shares = (counts + 0.5) / (counts.sum() + 0.5 * PARTS)
    return float(np.sum((shares - 1 / PARTS) * np.log(shares * PARTS)))
