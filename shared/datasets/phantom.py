"""Draw a synthetic mammogram with its ground truth, for demos and tests.

A film is an oblique view as left by the MIAS scanner: zero padding around a scanned strip, a dark background with
noise, label and scratch, and against the chest wall a breast whose skin line is barely brighter than the background.
Drawing is done with the chest wall on the left and mirrored for the right breast.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from shared.datasets.phantom_lesions import add_calcifications, add_mass
from shared.datasets.phantom_tissue import distance_inside, gland, grain, pectoral
from shared.domain.arrays import Float32Array
from shared.domain.films import Density
from shared.domain.lesions import Lesion
from shared.domain.records import Label
from shared.imaging.image import Grey

EDGE = 1024
"""Width and height of a film, pixels of 200 micrometres."""


@dataclass(frozen=True, eq=False)
class SyntheticFilm:
    """A film and its masks: uint8, EDGE x EDGE; masks are 255 inside.

    `breast` includes the pectoral muscle, `parenchyma` does not. Lesions have their origin at the top left.
    """

    pixels: Grey
    breast: Grey
    parenchyma: Grey
    lesions: tuple[Lesion, ...]


def render(
    rng: np.random.Generator, side: Literal["left", "right"], density: Density, label: Label, scattered: bool = False
) -> SyntheticFilm:
    """Draw a film with at most one lesion of class `label`, sometimes with a cluster.

    `scattered` draws calcifications all over the breast instead, as a lesion without a position.
    """
    wall = int(rng.integers(60, 260))
    breast = _breast(rng, wall)
    muscle = _pectoral(rng, wall, breast)
    parenchyma = np.where(muscle > 0.5, 0, breast).astype(np.uint8)

    # The wall and the frame cut the breast; only towards the skin does its thickness fade.
    covered = breast.copy()
    covered[:, :wall] = 255
    from_skin = distance_inside(covered)
    thickness = 1 - np.exp(-from_skin / rng.uniform(28, 45))
    tissue = gland(rng, density, wall, breast, (530, 620), 240) + np.float32(rng.uniform(85, 110))
    tissue += np.float32(rng.uniform(45, 65)) * muscle
    room = np.minimum(from_skin, distance_inside(parenchyma))
    lesions: list[Lesion] = []
    if scattered:
        add_calcifications(rng, tissue, room > 40, 60)
        lesions = [Lesion(kind="CALC", label=label)]
    elif label is not Label.NORMAL:
        lesions = add_mass(rng, tissue, room, label)
    film = np.where(breast > 0, 4 + tissue * thickness, 0).astype(np.float32)

    scan_end = min(EDGE, wall + int(rng.integers(620, 760)))
    level = np.linspace(rng.uniform(2, 8), rng.uniform(2, 8), EDGE, dtype=np.float32)[:, None]
    film += level + grain(rng, 1.2, (EDGE, EDGE))
    _add_artefacts(rng, film, breast, scan_end, side)
    film[:, :wall] = film[:, scan_end:] = 0
    pixels = film.clip(0, 255).astype(np.uint8)
    if side == "left":
        return SyntheticFilm(pixels, breast, parenchyma, tuple(lesions))
    pixels, breast, parenchyma = (np.ascontiguousarray(array[:, ::-1]) for array in (pixels, breast, parenchyma))
    return SyntheticFilm(pixels, breast, parenchyma, tuple(_mirrored(lesion) for lesion in lesions))


def _breast(rng: np.random.Generator, wall: int) -> Grey:
    """Draw the breast: it widens from below the armpit to the nipple and rounds off."""
    y = np.arange(EDGE, dtype=np.float64)
    reach = rng.uniform(340, 480)
    nipple, end = rng.uniform(520, 640), rng.uniform(900, 1010)
    neck = reach * rng.uniform(0.5, 0.7)
    above = neck + (reach - neck) * (0.5 + 0.5 * np.cos(np.pi * (nipple - y) / nipple)) ** 0.8
    below = reach * np.sqrt(np.clip(1 - ((y - nipple) / (end - nipple)) ** 2, 0, None)) ** 0.9
    width = np.where(y < nipple, above, below) + 22 * np.exp(-0.5 * ((y - nipple - 5) / 13) ** 2) * (y < end)
    x = np.arange(EDGE)[None]
    return np.where((x >= wall) & (x < wall + width[:, None]), 255, 0).astype(np.uint8)


def _pectoral(rng: np.random.Generator, wall: int, breast: Grey) -> Float32Array:
    """1 inside the pectoral muscle, 0 outside, with a soft and slightly bowed edge."""
    top = rng.uniform(0.55, 0.85) * np.count_nonzero(breast[0])
    return pectoral(wall, top, rng.uniform(380, 560), rng.uniform(0, 18), breast.shape)


def _add_artefacts(
    rng: np.random.Generator, film: Float32Array, breast: Grey, scan_end: int, side: Literal["left", "right"]
) -> None:
    """Draw artefacts of scanner and radiographer: label, scratch, bright border."""
    skin = int(np.argwhere(breast[:220])[:, 1].max())
    left = min(skin + 40, scan_end - 100)
    top = int(rng.integers(15, 60))
    label = np.full((110, 76), 225, np.uint8)
    for text, row in (("R" if side == "right" else "L", 45), ("ML", 92)):
        # The film of a right breast is mirrored when it is finished: its letters are drawn for that.
        cv2.putText(label, text, (8, row), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 30, 3, cv2.LINE_AA)
    if side == "right":
        label = np.ascontiguousarray(label[:, ::-1])
    # A label never lies on the breast.
    target = film[top : top + 110, left : left + 76]
    if not breast[top : top + 110, left : left + 76].any():
        target[:] = label[:, : target.shape[1]]
    row = int(rng.integers(960, 1015))
    start = scan_end - int(rng.integers(120, 320))
    film[row : row + 2, start:scan_end] += np.where(breast[row : row + 2, start:scan_end] == 0, 45, 0)
    if rng.random() < 0.3:
        film[:, scan_end - int(rng.integers(6, 16)) : scan_end] = 235


def _mirrored(lesion: Lesion) -> Lesion:
    return lesion if lesion.x is None else lesion.model_copy(update={"x": EDGE - 1 - lesion.x})
