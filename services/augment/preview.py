"""Draw the variants of a film on one sheet, with lesions and transforms."""

import cv2
import numpy as np
import numpy.typing as npt

from services.augment.core import apply_transform, carry_lesions, draw_transform
from shared.domain.films import Transform
from shared.domain.lesions import Lesion
from shared.domain.records import Label
from shared.modelling.recipes import AugmentationRecipe

MOST, COLUMNS = 12, 4
TILE, CAPTION = 340, 38
"""Pixels: the longer edge of a film on the sheet, and the height of what is written below it."""

_PART = 16  # of a pixel, in which OpenCV takes corners
_COLOURS = {Label.NORMAL: (255, 255, 255), Label.BENIGN: (80, 220, 255), Label.MALIGNANT: (70, 70, 255)}  # BGR


def shown(recipe: AugmentationRecipe) -> int:
    """Return the number of variants on a sheet, at most the sheet's capacity."""
    return min(recipe.variants, MOST)


def sheet(
    pixels: npt.NDArray[np.uint8], lesions: tuple[Lesion, ...], recipe: AugmentationRecipe, film: str
) -> npt.NDArray[np.uint8]:
    """Draw the first variants of a film (uint8, H x W): uint8, H x W x 3, BGR.

    The first is the film itself. The variants are those of a run if `film` is the film's id.
    """
    tiles = [_tile(pixels, lesions, recipe, film, variant) for variant in range(shown(recipe))]
    columns = min(COLUMNS, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[at : at + columns]) for at in range(0, len(tiles), columns)]
    return np.asarray(np.vstack(rows), np.uint8)


def _tile(
    pixels: npt.NDArray[np.uint8], lesions: tuple[Lesion, ...], recipe: AugmentationRecipe, film: str, variant: int
) -> npt.NDArray[np.uint8]:
    height, width = pixels.shape
    transform = draw_transform(recipe, film, variant, width, height)
    scale = TILE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(apply_transform(pixels, transform), size, interpolation=cv2.INTER_AREA)
    drawn = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR)
    for lesion in carry_lesions(lesions, transform, width, height):
        if lesion.polygon:
            corners = np.rint((np.array(lesion.polygon) * scale - 0.5) * _PART).astype(np.int32)
            cv2.polylines(drawn, [corners], True, _COLOURS[lesion.label], 1, cv2.LINE_AA, _PART.bit_length() - 1)
    tile = np.full((size[1] + CAPTION, TILE + 8, 3), 32, np.uint8)
    tile[: size[1], : size[0]] = drawn
    for line, text in enumerate(_caption(variant, transform)):
        place = (4, size[1] + 14 + 16 * line)
        cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (230, 230, 230), 1, cv2.LINE_AA)
    return tile


def _caption(variant: int, transform: Transform) -> tuple[str, str]:
    """Two lines, for OpenCV's fonts know ASCII alone."""
    if transform == Transform():
        return f"{variant}: the film itself", ""
    flips = ("mirrored",) * transform.mirrored + ("upside down",) * transform.upside_down
    displaced = (f"elastic {transform.elastic.amplitude:.0f} px",) if transform.elastic else ()
    shift = f"shift {transform.shift_x:+.0f} {transform.shift_y:+.0f} px"
    return (
        f"{variant}: " + ", ".join((f"turned {transform.rotation_deg:+.1f} deg", *flips)),
        ", ".join((shift, *displaced, f"grey x{transform.brightness:.2f} ^{transform.contrast:.2f}")),
    )
