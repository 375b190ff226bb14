"""Write a data set of synthetic films in the format of mini-MIAS."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from shared.datasets.phantom import EDGE, SyntheticFilm, render
from shared.domain.films import Density
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_pgm

_PATIENTS = ("NB", "MN", "NN", "BN", "NM", "NN", "BB", "MM")
"""Right and left film of eight patients, over and over: half of them normal, a quarter benign, a quarter malignant."""

_LABELS = {"N": Label.NORMAL, "B": Label.BENIGN, "M": Label.MALIGNANT}
_DENSITIES: tuple[Density, ...] = ("G", "F", "D")

# MIAS's oddities, which a parser must know, each on one film.
_SCATTERED_FILM = 7  # calcifications all over it: a note in place of coordinates
_TWO_ROWS_FILM = 10  # two circles for one lesion
_NO_PLACE_FILM = 13  # its row ends after the severity

_HEADER = """\
              SYNTHETIC FILMS in the form of the MiniMammographic Database

These films were drawn by a program. They show no patient, and nothing learnt from them says anything about one.
The rows below have the form of the database's own:

1st column: film. Films 2k-1 and 2k are the right and the left breast of patient k.
2nd column: background tissue: F - fatty, G - fatty-glandular, D - dense-glandular.
3rd column: abnormality: CALC - calcification, CIRC - well-defined mass, SPIC - spiculated mass, NORM - none.
4th column: severity: B - benign, M - malignant.
5th, 6th columns: x and y of its centre, in pixels from the bottom left corner.
7th column: radius, in pixels, of a circle around it.

*NOTE 3* stands in place of the last three columns where calcifications are spread over the whole film.

=================================================================

"""


def write_dataset(folder: Path, patients: int, seed: int = 7, progress: Callable[[int], None] | None = None) -> None:
    """Write Info.txt and two mdbNNN.pgm (8 bits, 1024 x 1024) per patient.

    The same seed draws the same film, however many patients there are. `folder` is created; Info.txt is written last,
    so an
    incomplete folder is not a data set.

    Args:
        progress: called with the number of films written so far.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[str] = []
    for number in range(1, 2 * patients + 1):
        film = draw(number, seed)
        (folder / f"mdb{number:03d}.pgm").write_bytes(encode_pgm(film.pixels))
        rows += _rows(number, film)
        if progress:
            progress(number)
    (folder / "Info.txt").write_text(_HEADER + "\n".join(rows) + "\n", encoding="ascii")


def label_of(number: int) -> Label:
    """Return the class of film `number`, counted from 1."""
    patient, left = divmod(number - 1, 2)
    return _LABELS[_PATIENTS[patient % len(_PATIENTS)][left]]


def draw(number: int, seed: int) -> SyntheticFilm:
    """Film `number` of the data set with this seed."""
    side: Literal["left", "right"] = "right" if number % 2 else "left"
    rng = np.random.default_rng([seed, number])
    return render(rng, side, _density_of(number), label_of(number), scattered=number == _SCATTERED_FILM)


def _density_of(number: int) -> Density:
    return _DENSITIES[(number - 1) // 2 % len(_DENSITIES)]


def _rows(number: int, film: SyntheticFilm) -> list[str]:
    """Return the film's rows of Info.txt."""
    start = f"mdb{number:03d} {_density_of(number)}"
    if not film.lesions:
        return [f"{start} NORM "]
    rows = []
    for lesion in film.lesions:
        kind = f"{start} {lesion.kind} {'M' if lesion.label is Label.MALIGNANT else 'B'}"
        if lesion.x is None or lesion.y is None or lesion.radius is None:
            rows.append(f"{kind} *NOTE 3*")
        elif number == _NO_PLACE_FILM:
            rows.append(kind)
        else:
            rows.append(f"{kind} {lesion.x:.0f} {EDGE - lesion.y:.0f} {lesion.radius:.0f}")
            if number == _TWO_ROWS_FILM:
                rows.append(f"{kind} {lesion.x:.0f} {EDGE - lesion.y:.0f} {lesion.radius / 2:.0f}")
    return rows
