"""Augmentation in the loader: every epoch sees each training image a little moved, turned and relit.

It comes on top of the stored variants and touches training images only. What is drawn follows from (seed, epoch,
batch), so that a resumed job draws the same, and is drawn on the CPU, so that a GPU does as well.
"""

from dataclasses import dataclass
from math import pi

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from shared.domain.arrays import Float32Array
from shared.modelling.recipes import Jitter

_MOVES, _GREYS = 5, 2


@dataclass(frozen=True)
class Draws:
    """For each of n images the matrix from output to input places (float32 n x 2 x 3, edges at -1 and 1, None where
    nothing moves), and gain and exponent of its grey levels (n, None where they stay)."""

    places: Float32Array | None
    gains: Float32Array | None
    exponents: Float32Array | None

    def of(self, own: npt.NDArray[np.int64]) -> "Draws":
        """Those of some of the images, by their place in the batch."""
        return Draws(*(None if part is None else part[own] for part in (self.places, self.gains, self.exponents)))


def draw(jitter: Jitter, images: int, seed: tuple[int, int, int]) -> Draws:
    """Draws evenly within the recipe's limits for a batch of so many images; `seed` is (seed, epoch, batch)."""
    even = np.random.default_rng(seed).uniform(-1, 1, (images, _MOVES + _GREYS))
    turn, right, down, size, flip, gain, exponent = even.T
    places = gains = exponents = None
    if jitter.moves:
        angle, scale = turn * jitter.rotation_deg * pi / 180, 1 / (1 + size * jitter.scale)
        rows = (flip < 0) & jitter.flip
        # shifts are parts of the edge, which is 2 long; a flip exchanges up and down, the chest wall stays at the left
        cosine, sine, mirrored = scale * np.cos(angle), scale * np.sin(angle), np.where(rows, -1.0, 1.0)
        first = np.stack([cosine, -sine, 2 * jitter.shift * right], axis=1)
        second = np.stack([mirrored * sine, mirrored * cosine, 2 * jitter.shift * down], axis=1)
        places = np.stack([first, second], axis=1).astype(np.float32)
    if jitter.brightness:
        gains = (1 + gain * jitter.brightness).astype(np.float32)
    if jitter.contrast:
        exponents = (1 + exponent * jitter.contrast).astype(np.float32)
    return Draws(places, gains, exponents)


def jittered(films: Tensor, draws: Draws) -> Tensor:
    """Films (float32 n x 1 x S x S in [0, 1]) as drawn, in the same form; what comes in from outside is 0."""
    if draws.places is not None:
        grid = affine_grid(_on(draws.places, films), list(films.shape), align_corners=False)
        films = grid_sample(films, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if draws.exponents is not None:
        films = films ** _on(draws.exponents, films).view(-1, 1, 1, 1)
    if draws.gains is not None:
        films = (films * _on(draws.gains, films).view(-1, 1, 1, 1)).clamp_(0, 1)
    return films


def _on(values: Float32Array, films: Tensor) -> Tensor:
    return torch.from_numpy(values).to(films.device, non_blocking=True)
