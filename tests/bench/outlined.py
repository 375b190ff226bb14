"""Films with outlines that are known: those of MIAS that were outlined by hand, else generated ones.

`MAMMO_TEST_MIAS` and `MAMMO_TEST_MIAS_MASKS` say where the real ones are.
"""

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.datasets.mias import parse_info
from shared.datasets.phantom import EDGE
from shared.datasets.synthetic import draw
from shared.domain.lesions import Lesion
from shared.imaging.formats.decode import decode
from shared.imaging.image import to_8bit

Grey: TypeAlias = npt.NDArray[np.uint8]
GENERATED, SEED = 64, 3


@dataclass(frozen=True, eq=False)
class Case:
    """A film (uint8, H x W) as it is stored, with its true masks (255 inside) and its lesions."""

    name: str
    film: Grey
    breast: Grey
    parenchyma: Grey
    lesions: tuple[Lesion, ...]


def real(mias: Path, masks: Path, name: str, lesions: tuple[Lesion, ...]) -> Case:
    def read(path: Path) -> Grey:
        return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)

    film = to_8bit(decode((mias / "png" / f"{name}.png").read_bytes()))
    return Case(name, film, read(masks / "breast" / f"{name}.png"), read(masks / "parenchyma" / f"{name}.png"), lesions)


def generated(number: int) -> Case:
    film = draw(number, SEED)
    return Case(f"film {number}", film.pixels, film.breast, film.parenchyma, film.lesions)


def cases() -> tuple[str, list[Callable[[], Case]]]:
    """What the films are, and how to get each."""
    if "MAMMO_TEST_MIAS" not in os.environ or "MAMMO_TEST_MIAS_MASKS" not in os.environ:
        return f"{GENERATED} generated films", [partial(generated, number) for number in range(1, GENERATED + 1)]
    mias, masks = Path(os.environ["MAMMO_TEST_MIAS"]), Path(os.environ["MAMMO_TEST_MIAS_MASKS"])
    lesions: dict[str, list[Lesion]] = defaultdict(list)
    for row in parse_info((mias / "Info.txt").read_text()):
        if row.lesion and row.lesion.y is not None:  # there it is measured from the bottom
            lesions[row.film].append(row.lesion.model_copy(update={"y": EDGE - row.lesion.y}))
    names = sorted(path.stem for path in (masks / "breast").glob("*.png"))
    return f"{len(names)} films of MIAS", [partial(real, mias, masks, name, tuple(lesions[name])) for name in names]
