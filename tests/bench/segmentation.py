"""How near the segmentation comes to outlines drawn by hand, and how little it minds what does not change a breast.

Prints tables and writes a sheet of the ten films on which it is worst: the truth in green, what was found in red.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from shared.domain.lesions import Lesion
from shared.errors import NotAMammogram
from shared.imaging.segmentation.segment import segment
from tests.bench.outlined import Case, Grey, cases
from tests.support.masks import area, dice

WORST, TILE = 10, 400
STEADY = 0.98  # Dice of a changed film's mask with the unchanged one's
GREEN, RED = (0, 200, 0), (0, 0, 255)
_SHOWN = np.rint(255 * np.linspace(0, 1, 256) ** 0.6).astype(np.uint8)  # the skin line is dark
KEPT = 0.99  # of a lesion's circle inside the breast
SHIFT = (24, 16)  # pixels of a film of 1024: right, down


@dataclass(frozen=True)
class Measured:
    """Dice with the truth, Dice of a changed film's mask with the unchanged one's, and shares of lesions kept."""

    name: str
    breast: float
    parenchyma: float
    simple: dict[str, float]
    changed: dict[str, float]
    lesions: tuple[float, ...]


def found(film: Grey) -> tuple[Grey, Grey]:
    """The masks of breast and parenchyma, in the film's own frame; empty where no breast is found."""
    try:
        result = segment(film)
    except NotAMammogram:
        return np.zeros_like(film), np.zeros_like(film)
    return (_mirror(result.breast), _mirror(result.mask)) if result.flipped else (result.breast, result.mask)


def _mirror(film: Grey) -> Grey:
    return np.asarray(cv2.flip(film, 1), np.uint8)


def _moved(film: Grey, right: int, down: int) -> Grey:
    """What comes in from outside is background."""
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float64)
    return np.asarray(cv2.warpAffine(film, matrix, film.shape[::-1], flags=cv2.INTER_NEAREST), np.uint8)


def _brighter(film: Grey) -> Grey:
    return np.asarray(np.rint(film * 1.2).clip(0, 255), np.uint8)


def _labelled(film: Grey) -> Grey:
    """With a lead label where it is farthest from the breast."""
    free = cv2.copyMakeBorder(found(film)[0], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=255)
    far = cv2.distanceTransform((free == 0).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    _, farthest, _, (x, y) = cv2.minMaxLoc(far)
    half = min(int(farthest / 2), film.shape[0] // 16)
    labelled = film.copy()
    cv2.rectangle(labelled, (x - half, y - half // 2), (x + half, y + half // 2), 230, cv2.FILLED)
    cv2.putText(labelled, "R MLO", (x - half, y), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 20, 2)
    return labelled


CHANGES: dict[str, tuple[Callable[[Grey], Grey], Callable[[Grey], Grey]]] = {
    "mirrored": (_mirror, _mirror),
    "shifted": (lambda film: _moved(film, *SHIFT), lambda mask: _moved(mask, *SHIFT)),
    "brighter by 20%": (_brighter, lambda mask: mask),
    "another label": (_labelled, lambda mask: mask),
}
"""What is done to the film, and what happens to its mask thereby."""


def _threshold(level: int, otsu: bool = False) -> Callable[[Grey], Grey]:
    def largest(film: Grey) -> Grey:
        blurred = cv2.GaussianBlur(film, (0, 0), 2)
        above = cv2.threshold(blurred, level, 255, cv2.THRESH_OTSU if otsu else cv2.THRESH_BINARY)[1]
        contours, _ = cv2.findContours(above, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        mask = np.zeros_like(film)
        return np.asarray(cv2.drawContours(mask, [max(contours, key=cv2.contourArea)], -1, 255, cv2.FILLED), np.uint8)

    return largest


SIMPLE = {"threshold 10": _threshold(10), "threshold 18": _threshold(18), "Otsu": _threshold(0, otsu=True)}
"""What one would try first: the largest region of the blurred film above a threshold."""


def measure(source: Callable[[], Case]) -> Measured:
    cv2.setNumThreads(1)
    case = source()
    breast, parenchyma = found(case.film)
    changed = {
        name: dice(found(change(case.film))[1], follow(parenchyma)) for name, (change, follow) in CHANGES.items()
    }
    simple = {name: dice(method(case.film), case.breast) for name, method in SIMPLE.items()}
    kept = tuple(_kept(lesion, case.breast, parenchyma) for lesion in case.lesions if lesion.radius)
    return Measured(case.name, dice(breast, case.breast), dice(parenchyma, case.parenchyma), simple, changed, kept)


def _kept(lesion: Lesion, breast: Grey, parenchyma: Grey) -> float:
    """The share of a lesion's circle inside the breast that is in the mask."""
    x, y, radius = lesion.x or 0.0, lesion.y or 0.0, lesion.radius or 0.0
    circle = np.zeros_like(breast)
    cv2.circle(circle, (round(x - 0.5), round(y - 0.5)), round(radius), 255, cv2.FILLED)
    inside = circle & breast
    return area(inside & parenchyma) / max(1, area(inside))


def print_tables(films: str, measured: list[Measured]) -> None:
    print(f"Dice on {films}{'':20}mean    worst")
    rows = {"breast": [film.breast for film in measured], "parenchyma": [film.parenchyma for film in measured]}
    rows |= {f"breast by {name}": [film.simple[name] for film in measured] for name in SIMPLE}
    rows |= {f"parenchyma, film {name}": [film.changed[name] for film in measured] for name in CHANGES}
    for name, values in rows.items():
        worst = int(np.argmin(values))
        print(f"  {name:36}{np.mean(values):.4f}   {values[worst]:.3f} ({measured[worst].name})")
    for name in CHANGES:
        below = sum(film.changed[name] < STEADY for film in measured)
        print(f"  {below} of {len(measured)} films have less than {STEADY} when {name}")
    cut = {film.name: [share for share in film.lesions if share < KEPT] for film in measured}
    lesions = sum(len(film.lesions) for film in measured)
    whole = lesions - sum(map(len, cut.values()))
    print(f"  {whole} of {lesions} lesions keep {KEPT:.0%} of what their circle has inside the breast")
    for name, shares in cut.items():
        if shares:
            print(f"    {name}: {', '.join(f'{share:.1%}' for share in shares)}")


def sheet(worst: list[tuple[Case, Measured]]) -> Grey:
    """Five films a row, each halved (uint8, H x W x 3, BGR)."""
    tiles = [_tile(case, film) for case, film in worst]
    return np.asarray(np.vstack([np.hstack(tiles[at : at + 5]) for at in range(0, len(tiles), 5)]), np.uint8)


def _tile(case: Case, film: Measured) -> Grey:
    tile = cv2.cvtColor(cv2.LUT(case.film, _SHOWN), cv2.COLOR_GRAY2BGR)
    breast, parenchyma = found(case.film)
    for mask, colour in ((case.breast, GREEN), (case.parenchyma, GREEN), (breast, RED), (parenchyma, RED)):
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, contours, -1, colour, 2)
    title = f"{case.name}: breast {film.breast:.3f}, parenchyma {film.parenchyma:.3f}"
    tile = cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_AREA)
    cv2.rectangle(tile, (0, 0), (TILE, 22), (0, 0, 0), cv2.FILLED)
    cv2.putText(tile, title, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sheet", type=Path, required=True, help="the picture of the worst films, a JPEG file")
    path = parser.parse_args().sheet
    films, sources = cases()
    with ProcessPoolExecutor() as processes:
        measured = list(processes.map(measure, sources))
    print_tables(films, measured)
    order = np.argsort([min(film.breast, film.parenchyma) for film in measured])[:WORST]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), sheet([(sources[at](), measured[at]) for at in order]), [cv2.IMWRITE_JPEG_QUALITY, 80])
    print(f"  the {WORST} worst films: {path}")


if __name__ == "__main__":
    main()
