"""Create variants of a film by a seeded recipe.

Rotation, mirroring, shift and elastic displacement are one map from the variant back to the film, so that pixels are
interpolated once; lesions are moved by the same map. Brightness and contrast follow.
"""

import math

import cv2
import numpy as np
import stringzilla

from services.augment.elastic import displacement, uniform
from shared.domain.arrays import Float64Array
from shared.domain.films import Elastic, Transform
from shared.domain.lesions import Lesion, Point
from shared.imaging.image import Pixels, unsigned
from shared.modelling.recipes import ELASTIC_CELLS, AugmentationRecipe

STEP = 8
"""Pixels from node to node of the map, which is linear in between: rotations are exact, and the splines are off by less
than a twentieth of a pixel."""

BAND = 128
"""Rows that are warped at a time: their part of the map stays in the cache. A multiple of STEP."""

DARK = 64
"""Of 256 grey levels that a film's background may have. Brighter edges are breast, labels or the scanner's frame."""

_FLIPS = {(True, False): 1, (False, True): 0, (True, True): -1}
_LESION_STEPS, _LESION_ERROR = 40, 0.005  # pixels


def draw_transform(recipe: AugmentationRecipe, film: str, variant: int, width: int, height: int) -> Transform:
    """Draw the parameters of one variant of a film; variant 0 is the film itself.

    They depend only on the recipe, the film's id and size, and the variant, so that any single variant can be
    recreated.
    """
    if variant == 0:
        return Transform()
    seed, edge = f"{recipe.seed}/{film}/{variant}", max(width, height)
    within = uniform(seed, 7)
    drawn: dict[str, float | bool | Elastic] = {}
    if recipe.rotation_deg:
        drawn["rotation_deg"] = round(within[0] * recipe.rotation_deg, 3)
    if recipe.shift:
        drawn["shift_x"] = round(within[1] * recipe.shift * width, 2)
        drawn["shift_y"] = round(within[2] * recipe.shift * height, 2)
    if recipe.elastic:
        amplitude, spacing = recipe.elastic * edge, edge / ELASTIC_CELLS
        drawn["elastic"] = Elastic(seed=f"{seed}/elastic", amplitude=round(amplitude, 2), spacing=round(spacing, 2))
    if recipe.brightness:
        drawn["brightness"] = round(1 + within[3] * recipe.brightness, 4)
    if recipe.contrast:
        drawn["contrast"] = round(1 + within[4] * recipe.contrast, 4)
    if recipe.mirror:
        drawn["mirrored"] = within[5] < 0
    if recipe.upside_down:
        drawn["upside_down"] = within[6] < 0
    return Transform(**drawn)


def apply_transform(pixels: Pixels, transform: Transform, bits: int = 8) -> Pixels:
    """Apply a transform to a film (H x W) and keep its depth in bits.

    Returns `pixels` themselves if there is nothing to do.
    """
    moved = _moved(pixels, transform, bits)
    if (transform.brightness, transform.contrast) == (1, 1):
        return moved
    brightest = 2**bits - 1
    grey = np.linspace(0, 1, brightest + 1)
    table = np.rint(brightest * transform.brightness * grey**transform.contrast).clip(0, brightest).astype(moved.dtype)
    if moved.dtype != np.uint8:
        return unsigned(table[moved])
    changed = np.empty(moved.shape, np.uint8)
    # what `cv2.LUT` does, ten times as fast
    stringzilla.translate(np.ascontiguousarray(moved).data, table.tobytes(), out=changed.data)
    return changed


def _moved(pixels: Pixels, transform: Transform, bits: int) -> Pixels:
    if transform.elastic is None and not any((transform.rotation_deg, transform.shift_x, transform.shift_y)):
        flip = _FLIPS.get((transform.mirrored, transform.upside_down))
        return pixels if flip is None else unsigned(cv2.flip(pixels, flip))
    height, width = pixels.shape
    fill = background(pixels, bits)
    if transform.elastic is None:
        forward = affine(transform, width, height)
        warped = cv2.warpAffine(pixels, forward, (width, height), flags=cv2.INTER_LINEAR, borderValue=fill)
        return unsigned(warped)
    xs, ys = _nodes(width), _nodes(height)
    source = _source(transform, xs, ys, (width, height)).astype(np.float32)
    moved = np.empty_like(pixels)
    for top in range(0, height, BAND):
        band = moved[top : top + BAND]
        nodes = source[:, top // STEP : -(-(top + len(band)) // STEP) + 2]
        size = len(xs) * STEP, nodes.shape[1] * STEP
        x, y = (cv2.resize(axis, size)[STEP : STEP + len(band), STEP : STEP + width] for axis in nodes)
        cv2.remap(pixels, x, y, cv2.INTER_LINEAR, dst=band, borderValue=fill)
    return moved


def _nodes(edge: int) -> Float64Array:
    """Return nodes of the map along an axis, for upscaling by `cv2.resize`.

    Nodes are STEP pixels apart, with one beyond each end.
    """
    return np.asarray((np.arange(-1, -(-edge // STEP) + 1) + 0.5) * STEP - 0.5)


def background(pixels: Pixels, bits: int = 8) -> int:
    """Return the commonest dark grey level along a film's edges, to extend the film.

    It is 0 for scanner padding, and the level of the background for a film without padding. For more than 8 bits, the
    upper 8 bits are counted, and the median of the pixels that share them is returned.
    """
    edges = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    upper = edges >> (bits - 8)
    level = int(np.bincount(upper, minlength=DARK)[:DARK].argmax())
    if bits == 8:
        return level
    common = edges[upper == level]
    return int(np.median(common)) if common.size else 0


def _source(transform: Transform, xs: Float64Array, ys: Float64Array, size: tuple[int, int]) -> Float64Array:
    """Return the film coordinates (x, y; 2 x len(ys) x len(xs)) of variant pixels."""
    back = cv2.invertAffineTransform(affine(transform, *size))
    source = back[:, :1, None] * xs + back[:, 1:2, None] * ys[:, None] + back[:, 2:, None]
    if transform.elastic is not None:
        source += displacement(transform.elastic, xs, ys, size)
    return np.asarray(source)


def affine(transform: Transform, width: int, height: int) -> Float64Array:
    """Return the 2 x 3 matrix from film to variant coordinates (x, y).

    Mirroring comes first, then the rotation, both about the film's centre, then the shift; elastic displacement is
    separate.
    """
    x, y = (width - 1) / 2, (height - 1) / 2
    across, down = -1.0 if transform.mirrored else 1.0, -1.0 if transform.upside_down else 1.0
    cosine, sine = (turn(math.radians(transform.rotation_deg)) for turn in (math.cos, math.sin))
    # y points downwards, so the sign of the sine is the opposite of the textbook's
    (a, b), (c, d) = (cosine * across, sine * down), (-sine * across, cosine * down)
    return np.array([[a, b, x - (a * x + b * y) + transform.shift_x], [c, d, y - (c * x + d * y) + transform.shift_y]])


def carry_lesions(lesions: tuple[Lesion, ...], transform: Transform, width: int, height: int) -> tuple[Lesion, ...]:
    """Move lesions to the variant; circles keep their radius: there is no scaling."""
    return tuple(_carried(lesion, transform, (width, height)) for lesion in lesions)


def _carried(lesion: Lesion, transform: Transform, size: tuple[int, int]) -> Lesion:
    if lesion.outline is not None:
        return lesion.model_copy(
            update={"outline": tuple(_carried_point(point, transform, size) for point in lesion.outline)}
        )
    if lesion.x is None or lesion.y is None:
        return lesion
    x, y = _carried_point((lesion.x, lesion.y), transform, size)
    return lesion.model_copy(update={"x": x, "y": y})


def _carried_point(point: Point, transform: Transform, size: tuple[int, int]) -> Point:
    # a lesion's place is measured from the film's edges, a pixel's from its centre: half a pixel lies between them
    film = np.array(point) - 0.5
    forward = affine(transform, *size)
    place = forward @ [*film, 1.0]
    for _ in range(_LESION_STEPS):
        missed = film - _source(transform, place[:1], place[1:], size).ravel()
        place += forward[:, :2] @ missed
        if np.abs(missed).max() < _LESION_ERROR:
            break
    x, y = (round(float(value) + 0.5, 2) for value in place)
    return x, y
