"""Read folders of real films with truth: which film shows what, and where its breast and its muscle are.

A folder of the first layout has `index.csv` (columns id, group, file, view, chest_wall_side), `truth/ID_breast.png` and
`truth/ID_pectoral.png`, 8 bit, 255 inside, of the film's aspect and any size; rows of group `negative` are images that
are no mammograms. One of the second layout is MIAS (`png/mdbNNN.png`), with masks where `MAMMO_TEST_MIAS_MASKS` says.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.support.masks import Mask

NEGATIVE = "negative"


@dataclass(frozen=True)
class RealFilm:
    """A film and its truth; `view` is "" and paths are None where it is not known. `side` is that of the chest wall."""

    id: str
    group: str
    path: Path
    view: str
    side: str
    breast: Path | None = None
    pectoral: Path | None = None
    parenchyma: Path | None = None

    def truth(self, shape: tuple[int, ...]) -> tuple[Mask | None, Mask | None]:
        """Return the masks of breast and parenchyma (255 inside) at the size of the film, None where unknown.

        A craniocaudal film without a truth of the muscle has none.
        """
        breast = _mask(self.breast, shape)
        if breast is None or self.parenchyma is not None:
            return breast, _mask(self.parenchyma, shape)
        muscle = _mask(self.pectoral, shape)
        if muscle is None:
            return breast, breast if self.view == "CC" else None
        return breast, np.asarray(breast & ~muscle, np.uint8)


def real_films(folder: Path) -> list[RealFilm]:
    """List the films of a folder. Raises SystemExit: it has neither layout."""
    if (folder / "index.csv").is_file():
        return _indexed(folder)
    if (folder / "png").is_dir():
        return _mias(folder)
    raise SystemExit(f"{folder} has neither index.csv nor png/; see tests/support/film_folders.py for the layout")


def _indexed(folder: Path) -> list[RealFilm]:
    def known(path: Path) -> Path | None:
        return path if path.is_file() else None

    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        return [
            RealFilm(
                line["id"],
                line["group"],
                folder / line["file"],
                line["view"],
                line["chest_wall_side"],
                known(folder / "truth" / f"{line['id']}_breast.png"),
                known(folder / "truth" / f"{line['id']}_pectoral.png"),
            )
            for line in csv.DictReader(file)
        ]


def _mias(folder: Path) -> list[RealFilm]:
    given = os.environ.get("MAMMO_TEST_MIAS_MASKS")

    def mask(kind: str, name: str) -> Path | None:
        path = Path(given or "", kind, f"{name}.png")
        return path if given and path.is_file() else None

    return [
        RealFilm(
            path.stem,
            "mias",
            path,
            "MLO",
            "right" if int(path.stem.removeprefix("mdb")) % 2 else "left",
            mask("breast", path.stem),
            parenchyma=mask("parenchyma", path.stem),
        )
        for path in sorted((folder / "png").glob("mdb*.png"))
    ]


def _mask(path: Path | None, shape: tuple[int, ...]) -> Mask | None:
    if path is None:
        return None
    mask = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
    return np.asarray(cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_LINEAR) > 127, np.uint8) * np.uint8(255)
