"""Random jitter of training images at load time: geometry and grey levels, anew in every epoch.

It is applied to the stored variants, and never to validation or test films. The parameters follow from (seed, epoch,
batch), so that a resumed job draws the same, and are drawn on the CPU, so that a GPU gets the same.
"""

from dataclasses import dataclass
from math import pi

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from shared.domain.arrays import Float32Array, Int64Array
from shared.modelling.recipes import Jitter

_GEOMETRY, _GREY_LEVELS = 5, 2  # random numbers of an image


@dataclass(frozen=True)
class JitterParameters:
    """Jitter of n images; None: unchanged.

    `matrices` map output to input coordinates, which are -1 and 1 at the edges (float32 n x 2 x 3). `gains` and
    `exponents` apply to the grey levels (float32 n).
    """

    matrices: Float32Array | None
    gains: Float32Array | None
    exponents: Float32Array | None

    def select(self, indices: Int64Array) -> "JitterParameters":
        """Return the parameters of the images at `indices`."""
        fields = (self.matrices, self.gains, self.exponents)
        return JitterParameters(*(None if field is None else field[indices] for field in fields))


def draw_jitter(jitter: Jitter, images: int, seed: tuple[int, int, int]) -> JitterParameters:
    """Draw the jitter of a batch of `images`, uniformly within the recipe's limits.

    `seed` is (seed, epoch, batch).
    """
    uniform = np.random.default_rng(seed).uniform(-1, 1, (images, _GEOMETRY + _GREY_LEVELS))
    turn, right, down, size, flip, gain, exponent = uniform.T
    matrices = gains = exponents = None
    if jitter.moves:
        angle, scale = turn * jitter.rotation_deg * pi / 180, 1 / (1 + size * jitter.scale)
        flipped = (flip < 0) & jitter.flip
        # shifts are parts of the edge, which is 2 long; a flip exchanges up and down, the chest wall stays at the left
        cosine, sine, mirrored = scale * np.cos(angle), scale * np.sin(angle), np.where(flipped, -1.0, 1.0)
        x_row = np.stack([cosine, -sine, 2 * jitter.shift * right], axis=1)
        y_row = np.stack([mirrored * sine, mirrored * cosine, 2 * jitter.shift * down], axis=1)
        matrices = np.stack([x_row, y_row], axis=1).astype(np.float32)
    if jitter.brightness:
        gains = (1 + gain * jitter.brightness).astype(np.float32)
    if jitter.contrast:
        exponents = (1 + exponent * jitter.contrast).astype(np.float32)
    return JitterParameters(matrices, gains, exponents)


def apply_jitter(films: Tensor, jitter: JitterParameters) -> Tensor:
    """Jitter films (float32 n x 1 x S x S in [0, 1]); pixels from outside the film are 0."""
    if jitter.matrices is not None:
        grid = affine_grid(_tensor(jitter.matrices, films.device), list(films.shape), align_corners=False)
        films = grid_sample(films, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if jitter.exponents is not None:
        films = films ** _tensor(jitter.exponents, films.device).view(-1, 1, 1, 1)
    if jitter.gains is not None:
        films = (films * _tensor(jitter.gains, films.device).view(-1, 1, 1, 1)).clamp_(0, 1)
    return films


def _tensor(values: Float32Array, device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device, non_blocking=True)
