"""Variants of a film by a seeded recipe: rotation, mirroring, shift, brightness and contrast.

The geometric part is one affine map, so that pixels are interpolated once, and it carries the lesions along.
"""

import hashlib

import cv2
import numpy as np
import numpy.typing as npt

from shared.datasets.manifest import Lesion, Transform
from shared.modelling.recipes import AugmentationRecipe


def draw_transform(recipe: AugmentationRecipe, film: str, variant: int, width: int, height: int) -> Transform:
    """The parameters of one variant of a film of `width` x `height` pixels; variant 0 is the film itself.

    They depend on the recipe, the film's id and the variant alone, so any single variant can be made again.
    """
    if variant == 0:
        return Transform()
    seed = hashlib.sha256(f"{recipe.seed}/{film}/{variant}".encode()).digest()
    rng = np.random.default_rng(np.frombuffer(seed, np.uint32))
    within = rng.uniform(-1, 1, 5)
    flips = rng.random(2) < 0.5
    return Transform(
        rotation_deg=round(float(within[0]) * recipe.rotation_deg, 3),
        shift_x=round(float(within[1]) * recipe.shift * width, 2),
        shift_y=round(float(within[2]) * recipe.shift * height, 2),
        brightness=round(1 + float(within[3]) * recipe.brightness, 4),
        contrast=round(1 + float(within[4]) * recipe.contrast, 4),
        mirrored=bool(recipe.mirror and flips[0]),
        upside_down=bool(recipe.upside_down and flips[1]),
    )


def apply_transform(pixels: npt.NDArray[np.uint8], transform: Transform) -> npt.NDArray[np.uint8]:
    """The variant of a film, H x W, uint8; what comes in from outside the film is background (0)."""
    if transform == Transform():
        return pixels
    height, width = pixels.shape
    warped = cv2.warpAffine(
        pixels, affine(transform, width, height), (width, height), flags=cv2.INTER_LINEAR, borderValue=0
    )
    grey = np.linspace(0, 1, 256) ** transform.contrast * transform.brightness
    table = np.clip(np.rint(grey * 255), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(warped, table), np.uint8)


def affine(transform: Transform, width: int, height: int) -> npt.NDArray[np.float64]:
    """The 2 x 3 matrix that takes a film's pixel coordinates (x, y) to the variant's.

    Mirroring comes first, then the rotation, both about the film's centre, then the shift.
    """
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    angle = np.deg2rad(transform.rotation_deg)
    # y points downwards, so the sign of the sine is the opposite of the textbook's
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    flip = np.diag([-1.0 if transform.mirrored else 1.0, -1.0 if transform.upside_down else 1.0])
    linear = rotation @ flip
    offset = centre - linear @ centre + [transform.shift_x, transform.shift_y]
    return np.column_stack([linear, offset])


def carry_lesions(lesions: tuple[Lesion, ...], transform: Transform, width: int, height: int) -> tuple[Lesion, ...]:
    """The lesions where the variant shows them; circles keep their radius, since nothing is scaled."""
    matrix = affine(transform, width, height)
    return tuple(_carried(lesion, matrix) for lesion in lesions)


def _carried(lesion: Lesion, matrix: npt.NDArray[np.float64]) -> Lesion:
    if lesion.x is None or lesion.y is None:
        return lesion
    # a lesion's place is measured from the film's edges, a pixel's from its centre: half a pixel lies between them
    x, y = matrix @ [lesion.x - 0.5, lesion.y - 0.5, 1.0] + 0.5
    return lesion.model_copy(update={"x": round(float(x), 2), "y": round(float(y), 2)})
