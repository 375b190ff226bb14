"""Generated films, drawn once a process: drawing takes longer than most tests of them."""

from functools import lru_cache

import numpy as np

from shared.datasets.phantom import SyntheticFilm
from shared.datasets.phantom_views import ViewFilm
from shared.datasets.synthetic import draw
from shared.datasets.synthetic_exams import Exposed, draw_exposure

_MOST = 64
"""Films that a process keeps, of 2 to 4 MB each."""


@lru_cache(_MOST)
def film_of(number: int, seed: int) -> SyntheticFilm:
    """Give film `number` of the generated data set; its arrays are read-only."""
    film = draw(number, seed)
    _freeze(film.pixels, film.breast, film.parenchyma)
    return film


@lru_cache(_MOST)
def exposure_of(exposed: Exposed, seed: int) -> ViewFilm:
    """Give a film of a generated exam; its arrays are read-only."""
    film = draw_exposure(exposed, seed)
    _freeze(film.pixels, film.breast, film.parenchyma)
    return film


def _freeze(*arrays: np.ndarray) -> None:
    for array in arrays:
        array.setflags(write=False)
