"""Draw the lesions of synthetic films: ovals, spiculated masses, calcifications.

Drawing adds grey levels to the tissue, before its thickness is accounted for.
"""

import cv2
import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32Array
from shared.domain.lesions import Lesion
from shared.domain.records import Label


def add_mass(
    rng: np.random.Generator, tissue: Float32Array, room: Float32Array, label: Label, size: float = 1.0
) -> list[Lesion]:
    """Draw a mass into `tissue` (H x W): an oval (benign) or a star (malignant).

    Args:
        room: distance in pixels to the nearest place where no mass may lie.
        size: scale of the radius.

    Returns:
        The mass and, for one star in five, its cluster of calcifications.
    """
    malignant = label is Label.MALIGNANT
    radius = int(size * (rng.integers(75, 111) if malignant else rng.integers(50, 81)))
    # A small breast may not have room for all of it: then the roomiest places must do.
    places = np.argwhere(room >= min(radius * 0.9, float(room.max()) - 1))
    y, x = (int(value) for value in places[rng.integers(len(places))])
    patch = _star(rng, radius) if malignant else _oval(rng, radius)
    rows, columns = slice(max(0, y - radius), y + radius), slice(max(0, x - radius), x + radius)
    part = patch[rows.start - y + radius :, columns.start - x + radius :]
    target = tissue[rows, columns]
    target += part[: target.shape[0], : target.shape[1]]
    kind = "SPIC" if malignant else "CIRC"
    lesions = [Lesion(kind=kind, label=label, x=x, y=y, radius=radius)]
    if malignant and rng.random() < 0.2:
        cluster = cv2.circle(np.zeros(room.shape, np.uint8), (x, y), int(36 * size), 1, cv2.FILLED)
        add_calcifications(rng, tissue, (cluster > 0) & (room > 0), 14)
        lesions.append(Lesion(kind="CALC", label=label, x=x, y=y, radius=int(40 * size)))
    return lesions


def _oval(rng: np.random.Generator, radius: int) -> Float32Array:
    """Draw a well-defined, nearly round mass: grey levels in a square of 2 radius."""
    y, x = np.mgrid[-radius:radius, -radius:radius].astype(np.float32)
    angle, flat = rng.uniform(0, np.pi), rng.uniform(0.75, 0.95)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    rho = np.hypot(u, v / flat) / (0.85 * radius)
    return np.asarray(rng.uniform(38, 50) / (1 + np.exp((rho - 1) * 15)), np.float32)


def _star(rng: np.random.Generator, radius: int) -> Float32Array:
    """Draw a spiculated mass: grey levels to add, in a square of 2 radius."""
    y, x = np.mgrid[-radius:radius, -radius:radius].astype(np.float32)
    angle = np.arctan2(y, x)
    edge = np.full_like(x, 0.45 * radius)
    for waves in (2, 3, 5, 8):
        edge += radius * rng.uniform(0.02, 0.06) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    core = 1 / (1 + np.exp((np.hypot(x, y) - edge) / (0.08 * radius)))
    spicules = np.zeros_like(x)
    count = int(rng.integers(14, 22))
    for turn in (np.arange(count) + rng.uniform(-0.35, 0.35, count)) * 2 * np.pi / count:
        length = rng.uniform(0.55, 0.98) * radius
        tip = (round(radius + length * np.cos(turn)), round(radius + length * np.sin(turn)))
        cv2.line(spicules, (radius, radius), tip, 1.0, int(rng.integers(2, 6)), cv2.LINE_AA)
    fading = np.clip(1.15 - np.hypot(x, y) / radius, 0, 1)
    return np.asarray(rng.uniform(65, 85) * core + 36 * _blurred(spicules, 2.0) * fading * (1 - core), np.float32)


def add_calcifications(
    rng: np.random.Generator, tissue: Float32Array, where: npt.NDArray[np.bool_], count: int
) -> None:
    """Draw `count` bright grains at random places of `where` into `tissue` (H x W)."""
    places = np.argwhere(where)
    grains = np.zeros(tissue.shape, np.float32)
    for y, x in places[rng.integers(len(places), size=count)]:
        cv2.circle(grains, (int(x), int(y)), int(rng.integers(1, 4)), float(rng.uniform(60, 110)), cv2.FILLED)
    tissue += _blurred(grains, 0.8)


def _blurred(array: Float32Array, sigma: float) -> Float32Array:
    return np.asarray(cv2.GaussianBlur(array, (0, 0), sigma), np.float32)
