"""Judge gate, orientation, view and outlines on a folder of real films with truth, by group of films.

The layout of the folder is that of `film_folders.py`. Prints tables and writes a sheet of the films that are worst.
"""

import argparse
import contextlib
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from shared.errors import ImageError
from shared.imaging.formats.decode import decode
from shared.imaging.image import to_8bit
from shared.imaging.segmentation.segment import Segmentation, segment
from tests.bench.outlined import Grey
from tests.bench.segmentation import GREEN, RED, TILE, WORST
from tests.support.film_folders import NEGATIVE, RealFilm, real_films
from tests.support.masks import dice


@dataclass(frozen=True)
class Judged:
    """How a film was segmented next to its truth.

    `refused` is the reason of a refusal, or empty. Dice is 0 where no breast was found and None where the truth is not
    known. The view is inferred from the shape of the breast, whatever the file declares.
    """

    film: RealFilm
    refused: str
    side: str = ""
    view: str = ""
    score: float = 0.0
    breast: float | None = None
    parenchyma: float | None = None

    @property
    def worst(self) -> float:
        return min(1.0 if value is None else value for value in (self.breast, self.parenchyma))


def masks(result: Segmentation) -> tuple[Grey, Grey]:
    """Return breast and parenchyma (255 inside) in the film's own frame."""
    if not result.flipped:
        return result.breast, result.mask
    return np.asarray(cv2.flip(result.breast, 1), np.uint8), np.asarray(cv2.flip(result.mask, 1), np.uint8)


def judge(film: RealFilm) -> Judged:
    cv2.setNumThreads(1)
    try:
        image = decode(film.path.read_bytes())
        result = segment(image.pixels, image.bits)
    except ImageError as error:
        none = None if film.group == NEGATIVE else 0.0
        return Judged(film, str(error), breast=none, parenchyma=none)
    refused = "" if result.gate.passed else result.gate.reason
    true_breast, true_parenchyma = film.truth(image.pixels.shape)
    breast, parenchyma = masks(result)
    return Judged(
        film,
        refused,
        "right" if result.flipped else "left",
        result.view.name or "unknown",
        result.view.score,
        None if true_breast is None else dice(breast, true_breast),
        None if true_parenchyma is None else dice(parenchyma, true_parenchyma),
    )


def print_tables(judged: list[Judged]) -> None:
    films = [film for film in judged if film.film.group != NEGATIVE]
    print("group      films  passed   side    view  breast mean  worst  parenchyma mean  worst")
    groups = sorted({film.film.group for film in films})
    for group in groups:
        _print_group(group, [film for film in films if film.film.group == group])
    if len(groups) > 1:
        _print_group("all", films)
    for film in films:
        for wrong in _complaints(film):
            print(f"  {film.film.id}: {wrong}")
    negatives = [film for film in judged if film.film.group == NEGATIVE]
    if negatives:
        print(f"{sum(not film.refused for film in negatives)} of {len(negatives)} negatives pass")
    for film in negatives:
        print(f"  {film.film.id}: {film.refused or 'PASSED'}")


def _print_group(name: str, films: list[Judged]) -> None:
    with_view = [film for film in films if film.film.view]
    views = f"{sum(film.view == film.film.view for film in with_view)}/{len(with_view)}"
    print(
        f"{name:9}{len(films):7}{sum(not film.refused for film in films):8}"
        f"{sum(film.side == film.film.side for film in films):7}{views:>8}"
        f"{_mean_and_worst([film.breast for film in films], 13)}"
        f"{_mean_and_worst([film.parenchyma for film in films], 17)}"
    )


def _mean_and_worst(values: list[float | None], width: int) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):{width}.4f}{min(known):7.3f}" if known else f"{'-':>{width}}{'-':>7}"


def _complaints(film: Judged) -> Iterable[str]:
    if film.refused:
        yield f"refused: {film.refused}"
    if film.side and film.side != film.film.side:
        yield f"the chest wall was taken to be {film.side}, it is {film.film.side}"
    if film.view and film.film.view and film.view != film.film.view:
        yield f"the view was taken to be {film.view} ({film.score:.2f}), it is {film.film.view}"


def sheet(films: list[Judged]) -> Grey:
    """Draw five films a row (uint8, H x W x 3, BGR): the truth in green, what was found in red."""
    tiles = [_tile(film) for film in films]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 5)
    return np.asarray(np.vstack([np.hstack(tiles[at : at + 5]) for at in range(0, len(tiles), 5)]), np.uint8)


def _tile(film: Judged) -> Grey:
    image = decode(film.film.path.read_bytes())
    scale = TILE / max(image.pixels.shape)
    small = cv2.resize(to_8bit(image), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.zeros((TILE, TILE, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = np.rint(255 * (small / 255) ** 0.6).astype(np.uint8)[..., None]
    outlines = [(mask, GREEN) for mask in film.film.truth(image.pixels.shape) if mask is not None]
    with contextlib.suppress(ImageError):
        outlines += [(mask, RED) for mask in masks(segment(image.pixels, image.bits))]
    for mask, colour in outlines:
        reduced = np.asarray(cv2.resize(mask, small.shape[::-1], interpolation=cv2.INTER_AREA) > 127, np.uint8)
        contours, _ = cv2.findContours(reduced, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, contours, -1, colour, 1)
    figures = " ".join(f"{value:.3f}" for value in (film.breast, film.parenchyma) if value is not None)
    cv2.rectangle(tile, (0, TILE - 18), (TILE, TILE), (0, 0, 0), cv2.FILLED)
    title = f"{film.film.id} {figures} {film.refused}"
    cv2.putText(tile, title, (4, TILE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=Path, default=os.environ.get("MAMMO_TEST_FILMS"), help="the folder")
    parser.add_argument("--sheet", type=Path, help="the picture of the worst films, a JPEG file")
    chosen = parser.parse_args()
    if chosen.films is None:
        print("real films are left out: FILMS=DIR or MAMMO_TEST_FILMS names a folder of them")
        return
    with ProcessPoolExecutor() as processes:
        judged = list(processes.map(judge, real_films(Path(chosen.films))))
    print(f"Segmentation of {len(judged)} images of {Path(chosen.films).name}; outlines by Dice")
    print_tables(judged)
    if chosen.sheet:
        films = [film for film in judged if film.film.group != NEGATIVE]
        films.sort(key=lambda film: (not film.refused, film.worst))
        chosen.sheet.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(chosen.sheet), sheet(films[:WORST]), [cv2.IMWRITE_JPEG_QUALITY, 85])
        print(f"  the {WORST} worst films: {chosen.sheet.name} in {chosen.sheet.parent.name}/")


if __name__ == "__main__":
    main()
