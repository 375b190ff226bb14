"""Draws one synthetic mammogram, with the truth about it: for demos and tests where no real film may be used.

A film is an oblique view as the MIAS scanner left it: zero padding around a scanned strip, a dark background with its
noise, label and scratch, and against the chest wall a breast whose skin line is barely brighter than the background.
The drawing is done with the chest wall on the left and mirrored for the right breast.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.datasets.lesions import add_calcifications, add_mass
from shared.datasets.manifest import Label, Lesion

EDGE = 1024
"""Width and height of a film, pixels of 200 micrometres."""

Grey: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]
Density: TypeAlias = Literal["F", "G", "D"]

_GLAND: dict[Density, tuple[float, float]] = {"F": (10.0, 0.6), "G": (22.0, 0.8), "D": (36.0, 1.0)}
"""By density: the grey levels that glandular tissue adds, and its extent."""


@dataclass(frozen=True, eq=False)
class SyntheticFilm:
    """`pixels`, `breast` and `parenchyma` are uint8, EDGE x EDGE, the masks 255 inside; `breast` holds the pectoral
    muscle too. Lesions have their origin at the top left."""

    pixels: Grey
    breast: Grey
    parenchyma: Grey
    lesions: tuple[Lesion, ...]


def render(
    rng: np.random.Generator, side: Literal["left", "right"], density: Density, label: Label, scattered: bool = False
) -> SyntheticFilm:
    """Draws a film of a breast with at most one lesion of class `label`, sometimes with a cluster of calcifications.

    `scattered` draws calcifications all over the breast instead, as a lesion without a place.
    """
    wall = int(rng.integers(60, 260))
    breast = _breast(rng, wall)
    pectoral = _pectoral(rng, wall, breast)
    parenchyma = np.where(pectoral > 0.5, 0, breast).astype(np.uint8)

    # The wall and the frame cut the breast; only towards the skin does its thickness fade.
    covered = breast.copy()
    covered[:, :wall] = 255
    from_skin = _distance_inside(covered)
    thickness = 1 - np.exp(-from_skin / rng.uniform(28, 45))
    tissue = _gland(rng, density, wall, breast) + np.float32(rng.uniform(85, 110))
    tissue += np.float32(rng.uniform(45, 65)) * pectoral
    room = np.minimum(from_skin, _distance_inside(parenchyma))
    lesions: list[Lesion] = []
    if scattered:
        add_calcifications(rng, tissue, room > 40, 60)
        lesions = [Lesion(kind="CALC", label=label)]
    elif label is not Label.NORMAL:
        lesions = add_mass(rng, tissue, room, label)
    film = np.where(breast > 0, 4 + tissue * thickness, 0).astype(np.float32)

    scan_end = min(EDGE, wall + int(rng.integers(620, 760)))
    level = np.linspace(rng.uniform(2, 8), rng.uniform(2, 8), EDGE, dtype=np.float32)[:, None]
    film += level + _noise(rng, 1.2)
    _add_artefacts(rng, film, breast, scan_end, side)
    film[:, :wall] = film[:, scan_end:] = 0
    pixels = film.clip(0, 255).astype(np.uint8)
    if side == "left":
        return SyntheticFilm(pixels, breast, parenchyma, tuple(lesions))
    pixels, breast, parenchyma = (np.ascontiguousarray(array[:, ::-1]) for array in (pixels, breast, parenchyma))
    return SyntheticFilm(pixels, breast, parenchyma, tuple(_mirrored(lesion) for lesion in lesions))


def _breast(rng: np.random.Generator, wall: int) -> Grey:
    """The breast: from a neck below the armpit it swells to the nipple's height and rounds off below."""
    y = np.arange(EDGE, dtype=np.float64)
    reach = rng.uniform(340, 480)
    nipple, end = rng.uniform(520, 640), rng.uniform(900, 1010)
    neck = reach * rng.uniform(0.5, 0.7)
    above = neck + (reach - neck) * (0.5 + 0.5 * np.cos(np.pi * (nipple - y) / nipple)) ** 0.8
    below = reach * np.sqrt(np.clip(1 - ((y - nipple) / (end - nipple)) ** 2, 0, None)) ** 0.9
    width = np.where(y < nipple, above, below) + 22 * np.exp(-0.5 * ((y - nipple - 5) / 13) ** 2) * (y < end)
    x = np.arange(EDGE)[None]
    return np.where((x >= wall) & (x < wall + width[:, None]), 255, 0).astype(np.uint8)


def _pectoral(rng: np.random.Generator, wall: int, breast: Grey) -> Floats:
    """1 inside the pectoral muscle, 0 outside, with a soft and slightly bowed edge."""
    top = rng.uniform(0.55, 0.85) * np.count_nonzero(breast[0])
    bottom = rng.uniform(380, 560)
    t = np.linspace(0, 1, 40)
    bow = rng.uniform(0, 18) * np.sin(np.pi * t)
    edge = np.stack([wall + top * (1 - t) + bow, bottom * t + bow * top / bottom], axis=1)
    muscle = np.zeros((EDGE, EDGE), np.float32)
    cv2.fillPoly(muscle, [np.round(np.vstack([edge, [[wall, 0]]])).astype(np.int32)], 1.0)
    return _blurred(muscle, 2.5)


def _gland(rng: np.random.Generator, density: Density, wall: int, breast: Grey) -> Floats:
    """Glandular tissue behind the nipple: cloudy, with bright strands; grey levels to add."""
    strength, extent = _GLAND[density]
    y, x = np.mgrid[0:EDGE:4, 0:EDGE:4].astype(np.float32)
    reach = np.count_nonzero(breast.any(axis=0))
    centre_x, centre_y = wall + 0.5 * reach, rng.uniform(530, 620)
    where = np.exp(-(((x - centre_x) / (0.42 * extent * reach)) ** 2) - ((y - centre_y) / (240 * extent)) ** 2)
    clouds = _clouds(rng, 256, (6, 12, 24))
    strands = 1 - np.abs(_clouds(rng, 256, (10, 20, 48))).clip(0, 1)
    coarse = strength * where * (1.0 + 0.6 * clouds) + 14 * strands**3 + 5 * clouds
    fine = 2.5 * _clouds(rng, EDGE, (96, 200))
    return np.asarray(cv2.resize(coarse, (EDGE, EDGE), interpolation=cv2.INTER_CUBIC) + fine, np.float32)


def _clouds(rng: np.random.Generator, edge: int, cells: tuple[int, ...]) -> Floats:
    """Smooth noise of several scales, edge x edge: each has so many cells along an edge, and half the last's height."""
    total = np.zeros((edge, edge), np.float32)
    for octave, count in enumerate(cells):
        grid = rng.standard_normal((count, count), np.float32) / 2**octave
        total += cv2.resize(grid, (edge, edge), interpolation=cv2.INTER_CUBIC)
    return total


def _add_artefacts(
    rng: np.random.Generator, film: Floats, breast: Grey, scan_end: int, side: Literal["left", "right"]
) -> None:
    """What a scanner and a radiographer leave in the background: a label, a scratch, sometimes a bright border."""
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


def _noise(rng: np.random.Generator, sigma: float) -> Floats:
    """Film grain, correlated over two pixels; EDGE x EDGE grey levels."""
    grain = rng.standard_normal((EDGE // 2, EDGE // 2), np.float32) * sigma
    return np.asarray(cv2.resize(grain, (EDGE, EDGE), interpolation=cv2.INTER_LINEAR), np.float32)


def _distance_inside(mask: Grey) -> Floats:
    """Pixels to the nearest place outside the mask; the frame's edge does not count as one."""
    return np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 3), np.float32)


def _blurred(array: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(array, (0, 0), sigma), np.float32)


def _mirrored(lesion: Lesion) -> Lesion:
    return lesion if lesion.x is None else lesion.model_copy(update={"x": EDGE - 1 - lesion.x})
