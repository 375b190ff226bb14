"""Draw the four views of a generated screening exam as hospitals make them, with the truth about each film.

Both breasts of a woman and both views of a breast have their size, density and device in common; a lesion lies at the
same depth in both views of its breast. There are two looks:

- scan: a film scan of 8 bits. The background has noise and a gradient; an opaque plate names side and view; there may
  be strips of tape and a white border.
- digital: 12 bits. The background is exactly 0, the skin line is anti-aliased, the periphery is equalised so that fat
  reaches the skin at one brightness, side and view are burned in at the highest grey level.

The chest wall touches the frame, or nearly. At some hospitals it is on the right for right breasts, at others always on
the left. Some breasts are small on a large frame. Drawing is done with the chest wall on the left.
"""

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from shared.datasets.phantom_lesions import add_mass
from shared.datasets.phantom_tissue import blurred, distance_inside, gland, grain, pectoral
from shared.domain.arrays import Float32Array, Float64Array
from shared.domain.films import Acquisition, Density, Side, ViewName
from shared.domain.lesions import Lesion
from shared.domain.records import Label
from shared.imaging.image import Grey, Pixels, unsigned

_Sample = TypeVar("_Sample", bound=np.generic)
VENDOR = "phantom"
"""In place of the maker of the device."""

HEIGHT = 1024
_BITS: dict[Acquisition, int] = {"film scan": 8, "digital": 12}
_WIDTHS: dict[Acquisition, tuple[int, ...]] = {"film scan": (640, 704, 768), "digital": (800, 832)}
_SMALL_BREASTS = 0.15  # part of the women
_TYPICAL_REACH = 350  # pixels from wall to nipple, for which lesions have their size


@dataclass(frozen=True)
class Woman:
    """Properties shared by all films of an exam; lengths in pixels at height HEIGHT."""

    acquisition: Acquisition
    density: Density
    width: int
    reach: float
    size: float
    walls_apart: bool


@dataclass(frozen=True, eq=False)
class ViewFilm:
    """A film: `pixels` (uint8 or uint16, HEIGHT x W, of `bits`) and uint8 masks.

    Masks have the same shape and are 255 inside. `breast` includes the pectoral muscle, `parenchyma` does not. Lesions
    have
    their origin at the top left.
    """

    pixels: Pixels
    bits: int
    breast: Grey
    parenchyma: Grey
    lesions: tuple[Lesion, ...]
    wall: Side


def draw_woman(rng: np.random.Generator, acquisition: Acquisition, density: Density, walls_apart: bool) -> Woman:
    """Draw what the films of a woman have in common.

    Args:
        walls_apart: the chest wall of right breasts is on the right; else it is on the left for both.
    """
    small = rng.random() < _SMALL_BREASTS
    size = rng.uniform(0.7, 0.8) if small else rng.uniform(0.9, 1.1)
    return Woman(
        acquisition=acquisition,
        density=density,
        width=_WIDTHS[acquisition][-1 if small else rng.integers(len(_WIDTHS[acquisition]))],
        reach=size * rng.uniform(310, 410),
        size=size,
        walls_apart=walls_apart,
    )


def draw_view(
    rng: np.random.Generator, woman: Woman, side: Side, view: ViewName, label: Label, depth: float
) -> ViewFilm:
    """Draw one film of a breast with a lesion of class `label`, none if normal.

    Args:
        depth: of the lesion, from the chest wall (0) to the nipple (1).
    """
    wall = int(rng.integers(0, 16 if woman.acquisition == "film scan" else 3))
    outline = _cc_outline(rng, woman) if view == "CC" else _mlo_outline(rng, woman)
    x = np.arange(woman.width, dtype=np.float64)[None]
    covered = np.clip(wall + outline[:, None] - x + 0.5, 0, 1) * (x >= wall)
    breast = np.where(covered > 0.5, 255, 0).astype(np.uint8)
    muscle = _muscle(rng, wall, breast) if view == "MLO" else np.zeros(breast.shape, np.float32)
    parenchyma = np.where(muscle > 0.5, 0, breast).astype(np.uint8)

    behind = breast.copy()
    behind[:, :wall] = 255
    from_skin = distance_inside(behind)
    rows = np.flatnonzero(breast.any(axis=1))
    middle = float(outline.argmax())
    tissue = gland(rng, woman.density, wall, breast, (middle - 20, middle + 20), 0.28 * len(rows))
    tissue += np.float32(rng.uniform(12, 20)) * np.clip(1 - (x - wall) / woman.reach, 0, 1).astype(np.float32)
    lesions: list[Lesion] = []
    if label is not Label.NORMAL:
        room = np.minimum(from_skin, distance_inside(parenchyma))
        there = np.abs(x - wall - depth * woman.reach) < 0.2 * woman.reach
        lesions = add_mass(
            rng, tissue, np.where(there, room, 0).astype(np.float32), label, woman.reach / _TYPICAL_REACH
        )

    develop = _scan if woman.acquisition == "film scan" else _digital
    film = develop(rng, tissue, muscle, from_skin, covered.astype(np.float32))
    mirrored = woman.walls_apart and side == "right"
    if mirrored:
        film, breast, parenchyma = _turned(film), _turned(breast), _turned(parenchyma)
        lesions = [lesion.mirrored(woman.width) for lesion in lesions]
    bits = _BITS[woman.acquisition]
    _add_marks(rng, film, breast, f"{side[0].upper()} {view}", woman.acquisition)
    pixels = unsigned(np.rint(film).clip(0, 2**bits - 1).astype(np.uint8 if bits == 8 else np.uint16))
    return ViewFilm(pixels, bits, breast, parenchyma, tuple(lesions), "right" if mirrored else "left")


def _turned(array: "npt.NDArray[_Sample]") -> "npt.NDArray[_Sample]":
    return np.ascontiguousarray(array[:, ::-1])


def _cc_outline(rng: np.random.Generator, woman: Woman) -> Float32Array:
    """Return the breast's width in each row: a rounded bow, fuller on one side."""
    half = woman.size * rng.uniform(270, 340)
    centre = rng.uniform(0.46, 0.54) * HEIGHT
    u = (np.arange(HEIGHT) - centre) / half
    u = u + rng.uniform(-0.15, 0.15) * (1 - u**2)
    reach = woman.reach * rng.uniform(0.95, 1.0)
    return _with_nipple(rng, reach * np.clip(1 - np.abs(u) ** 2.2, 0, None) ** 0.55, woman.size)


def _mlo_outline(rng: np.random.Generator, woman: Woman) -> Float32Array:
    """Return the breast's width in each row, from the armpit to below the nipple."""
    y = np.arange(HEIGHT, dtype=np.float64)
    reach = woman.reach * rng.uniform(1.0, 1.05)
    end = HEIGHT * np.clip(woman.size * rng.uniform(0.78, 0.95), 0.45, 0.97)
    nipple = end * rng.uniform(0.58, 0.64)
    neck = reach * rng.uniform(0.5, 0.7)
    above = neck + (reach - neck) * (0.5 + 0.5 * np.cos(np.pi * (nipple - y) / nipple)) ** 0.8
    below = reach * np.sqrt(np.clip(1 - ((y - nipple) / (end - nipple)) ** 2, 0, None)) ** 0.9
    return _with_nipple(rng, np.where(y < nipple, above, below), woman.size)


def _with_nipple(rng: np.random.Generator, outline: "Float64Array", size: float) -> Float32Array:
    y = np.arange(HEIGHT)
    nipple = outline.argmax() + rng.integers(-8, 9)
    bump = rng.uniform(8, 22) * size * np.exp(-0.5 * ((y - nipple) / (13 * size)) ** 2)
    waves = 1 + 0.01 * np.sin(y / rng.uniform(40, 90) + rng.uniform(0, 2 * np.pi))
    return np.asarray((outline * waves + bump) * (outline > 0), np.float32)


def _muscle(rng: np.random.Generator, wall: int, breast: Grey) -> Float32Array:
    top = rng.uniform(0.5, 0.8) * np.count_nonzero(breast[0])
    bottom = rng.uniform(0.45, 0.65) * float(np.flatnonzero(breast.any(axis=1))[-1])
    return pectoral(wall, top, bottom, rng.uniform(-0.04, 0.08) * top, breast.shape)


def _scan(
    rng: np.random.Generator, tissue: Float32Array, muscle: Float32Array, from_skin: Float32Array, covered: Float32Array
) -> Float32Array:
    """Develop a film scan (8 bits): the breast fades into the background at the skin."""
    shape = tissue.shape
    thickness = 1 - np.exp(-from_skin / rng.uniform(18, 35))
    tissue = tissue + rng.uniform(80, 105) + rng.uniform(40, 60) * muscle
    level = np.linspace(rng.uniform(3, 9), rng.uniform(3, 9), shape[0], dtype=np.float32)[:, None]
    film = np.where(covered > 0.5, 4 + tissue * thickness, 0) + level + grain(rng, 1.2, shape)
    return np.asarray(film, np.float32)


def _digital(
    rng: np.random.Generator, tissue: Float32Array, muscle: Float32Array, from_skin: Float32Array, covered: Float32Array
) -> Float32Array:
    """Develop a digital film (12 bits): equalised up to the skin, background 0."""
    gain, fat = rng.uniform(20, 28), rng.uniform(380, 800)
    edge = rng.uniform(0.1, 0.45) * np.exp(-from_skin / rng.uniform(8, 25))
    skin = rng.uniform(0.1, 0.4) * np.exp(-0.5 * ((from_skin - 3) / 2) ** 2)
    tissue = np.where(tissue < 0, 0.35 * tissue, tissue)  # fat is never as dark as the background
    signal = fat + gain * (tissue + rng.uniform(40, 65) * muscle)
    signal = signal.clip(120, None) * (1 - edge + skin)
    signal += grain(rng, 1.0, tissue.shape) * np.sqrt(signal) * 0.5
    inside = blurred(covered, 0.8)
    inside[inside < 0.02] = 0
    return np.asarray(np.maximum(signal * inside, inside > 0), np.float32)


def _add_marks(rng: np.random.Generator, film: Float32Array, breast: Grey, text: str, acquisition: Acquisition) -> None:
    """Name side and view far from the breast; on scans add tape and white borders."""
    height, width = film.shape
    wall_right = bool(breast[:, width // 2 :].sum() > breast[:, : width // 2].sum())
    scale = rng.uniform(0.9, 1.3)
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
    plate = np.zeros((text_height + 20, text_width + 20), np.uint8)
    cv2.putText(plate, text, (10, text_height + 9), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 2, cv2.LINE_AA)
    top = int(rng.integers(15, 60))
    left = int(rng.integers(12, 30)) if wall_right else width - plate.shape[1] - int(rng.integers(12, 30))
    place = np.s_[top : top + plate.shape[0], left : left + plate.shape[1]]
    free = not breast[place].any()
    if acquisition == "digital":
        if free:
            film[place] = np.maximum(film[place], plate.astype(np.float32) * (4095 / 255))
        return
    if free:
        film[place] = 225 - 0.8 * plate
    if rng.random() < 0.4:
        tape = np.zeros(film.shape, np.uint8)
        row = int(rng.integers(int(0.85 * height), height - 20))
        ends = (0, row), (width, row + int(rng.integers(-30, 31)))
        cv2.line(tape, *ends, 255, int(rng.integers(14, 30)))
        away = cv2.dilate(breast, np.ones((25, 25), np.uint8)) == 0
        film[(tape > 0) & away] += rng.uniform(25, 90)
    if rng.random() < 0.3:
        border = int(rng.integers(4, 12))
        far = np.s_[:, :border] if wall_right else np.s_[:, width - border :]
        film[far] = 240
        for rows in (np.s_[:border], np.s_[height - border :]):
            film[rows] = np.where(breast[rows] > 0, film[rows], 240)
