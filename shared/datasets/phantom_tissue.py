"""Draw tissue: glandular tissue, film grain, fading towards the skin.

Unless stated otherwise, arrays are float32, H x W, grey levels of 8 bits to be added. The chest wall is on the left.
"""

import cv2
import numpy as np

from shared.domain.arrays import Float32Array
from shared.domain.films import Density
from shared.imaging.image import Grey

_GLAND: dict[Density, tuple[float, float]] = {"F": (10.0, 0.6), "G": (22.0, 0.8), "D": (36.0, 1.0)}
"""By density: the grey levels that glandular tissue adds, and its extent."""

_COARSE = 4  # pixels of a film in one of the coarse clouds


def gland(
    rng: np.random.Generator, density: Density, wall: int, breast: Grey, rows: tuple[float, float], spread: float
) -> Float32Array:
    """Draw glandular tissue behind the nipple, cloudy and with bright strands.

    Args:
        wall: column of the chest wall.
        breast: 255 inside, H x W.
        rows: between which rows its centre lies.
        spread: its vertical extent, pixels, of the densest breast.
    """
    strength, extent = _GLAND[density]
    height, width = breast.shape
    edge = -(-max(height, width) // _COARSE) * _COARSE
    y, x = np.mgrid[0:edge:_COARSE, 0:edge:_COARSE].astype(np.float32)
    reach = np.count_nonzero(breast.any(axis=0))
    centre_x, centre_y = wall + 0.5 * reach, rng.uniform(*rows)
    where = np.exp(-(((x - centre_x) / (0.42 * extent * reach)) ** 2) - ((y - centre_y) / (spread * extent)) ** 2)
    clouds = _clouds(rng, edge // _COARSE, (6, 12, 24))
    strands = 1 - np.abs(_clouds(rng, edge // _COARSE, (10, 20, 48))).clip(0, 1)
    coarse = strength * where * (1.0 + 0.6 * clouds) + 14 * strands**3 + 5 * clouds
    fine = 2.5 * _clouds(rng, edge, (96, 200))
    tissue = cv2.resize(coarse, (edge, edge), interpolation=cv2.INTER_CUBIC) + fine
    return np.asarray(tissue[:height, :width], np.float32)


def pectoral(wall: int, top: float, bottom: float, bow: float, shape: tuple[int, int]) -> Float32Array:
    """Draw the pectoral muscle: 1 inside, 0 outside, with a soft edge.

    The edge runs from `top` pixels off the wall on the upper edge down to the wall at row `bottom`, bowed outwards by
    `bow` pixels.
    """
    t = np.linspace(0, 1, 40)
    bulge = bow * np.sin(np.pi * t)
    edge = np.stack([wall + top * (1 - t) + bulge, bottom * t + bulge * top / bottom], axis=1)
    muscle = np.zeros(shape, np.float32)
    cv2.fillPoly(muscle, [np.round(np.vstack([edge, [[wall, 0]]])).astype(np.int32)], 1.0)
    return blurred(muscle, 2.5)


def grain(rng: np.random.Generator, sigma: float, shape: tuple[int, int]) -> Float32Array:
    """Draw film grain, correlated over two pixels."""
    height, width = shape
    noise = rng.standard_normal((-(-height // 2), -(-width // 2)), np.float32) * sigma
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def distance_inside(mask: Grey) -> Float32Array:
    """Return the distance in pixels to the nearest place outside the mask.

    The frame's edge does not count as outside.
    """
    return np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 3), np.float32)


def blurred(array: Float32Array, sigma: float) -> Float32Array:
    return np.asarray(cv2.GaussianBlur(array, (0, 0), sigma), np.float32)


def _clouds(rng: np.random.Generator, edge: int, cells: tuple[int, ...]) -> Float32Array:
    """Draw smooth noise, edge x edge, of several scales.

    Each scale has the given number of cells along an edge and half the amplitude of the previous one.
    """
    total = np.zeros((edge, edge), np.float32)
    for octave, count in enumerate(cells):
        grid = rng.standard_normal((count, count), np.float32) / 2**octave
        total += cv2.resize(grid, (edge, edge), interpolation=cv2.INTER_CUBIC)
    return total
