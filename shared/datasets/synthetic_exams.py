"""Write a data set of generated four-view exams for `shared.datasets.table`.

Half of the women have film scans, half digital films. Of each eight women one has a repeated view and one lacks a view,
as in screening.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shared.datasets.phantom_views import VENDOR, ViewFilm, draw_view, draw_woman
from shared.datasets.synthetic import label_of
from shared.datasets.table import FilmRow, LesionRow, write_tables
from shared.domain.films import Acquisition, Density, Side, ViewName
from shared.imaging.formats.decode import encode_pgm

_DENSITIES: tuple[Density, ...] = ("G", "F", "D")
_VIEWS: tuple[tuple[Side, ViewName], ...] = (("right", "CC"), ("left", "CC"), ("right", "MLO"), ("left", "MLO"))
_EVERY = 8
_ONE_WALL = 4  # every fourth woman's films all have the chest wall on the left
_TAKEN_TWICE = 3, ("right", "MLO")  # of each eight women the third, this view
_NOT_TAKEN = 6, ("left", "CC")


class Exposed(NamedTuple):
    """Film of a data set: woman and number of the exposure, counted from 1."""

    woman: int
    side: Side
    view: ViewName
    exposure: int

    @property
    def film(self) -> str:
        again = f"_{self.exposure}" if self.exposure > 1 else ""
        return f"e{self.woman:03d}_{self.side[0].upper()}_{self.view}{again}"


def exposures(patients: int) -> Iterator[Exposed]:
    """Yield all films of so many women, exam by exam."""
    for woman in range(1, patients + 1):
        for view in _VIEWS:
            if (woman % _EVERY, view) == _NOT_TAKEN:
                continue
            times = 2 if (woman % _EVERY, view) == _TAKEN_TWICE else 1
            yield from (Exposed(woman, *view, exposure) for exposure in range(1, times + 1))


def write_exams(folder: Path, patients: int, seed: int = 7, progress: Callable[[int], None] | None = None) -> None:
    """Write films/*.pgm (8 bits, or 12 bits in 16), films.csv and lesions.csv.

    The same seed draws the same film, however many women there are. `folder` is created.

    Args:
        progress: called with the number of films written so far.
    """
    (folder / "films").mkdir(parents=True, exist_ok=True)
    films: list[FilmRow] = []
    lesions: list[LesionRow] = []
    for count, exposed in enumerate(exposures(patients), 1):
        drawn = draw_exposure(exposed, seed)
        row = _row(exposed, drawn)
        (folder / row.file).write_bytes(encode_pgm(drawn.pixels, drawn.bits))
        films.append(row)
        lesions += [LesionRow(film=row.film, **lesion.model_dump()) for lesion in drawn.lesions]
        if progress:
            progress(count)
    write_tables(folder, films, lesions)


def draw_exposure(exposed: Exposed, seed: int) -> ViewFilm:
    """Draw one film of the data set with this seed."""
    number = exposed.woman
    acquisition: Acquisition = "film scan" if (number - 1 + (number - 1) // _EVERY) % 2 else "digital"
    woman = draw_woman(np.random.default_rng([seed, number]), acquisition, _density_of(number), number % _ONE_WALL != 0)
    side = int(exposed.side == "left")
    depth = np.random.default_rng([seed, number, side]).uniform(0.3, 0.7)
    rng = np.random.default_rng([seed, number, side, int(exposed.view == "MLO"), exposed.exposure])
    return draw_view(rng, woman, exposed.side, exposed.view, label_of(2 * number - 1 + side), depth)


def _density_of(woman: int) -> Density:
    return _DENSITIES[(woman - 1) % len(_DENSITIES)]


def _row(exposed: Exposed, drawn: ViewFilm) -> FilmRow:
    number = exposed.woman
    return FilmRow(
        film=exposed.film,
        file=f"films/{exposed.film}.pgm",
        patient=f"p{number:03d}",
        exam=f"e{number:03d}",
        side=exposed.side,
        view=exposed.view,
        acquisition="film scan" if drawn.bits == 8 else "digital",
        vendor=VENDOR,
        density=_density_of(number),
        label=label_of(2 * number - (exposed.side == "right")),
        synthetic="yes",
    )
