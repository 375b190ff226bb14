"""The films that a network learns from or is judged by, with the index of each one's class."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.train.data.device import Indices, Inputs
from services.train.data.lesion_targets import Places


@dataclass(frozen=True)
class Examples:
    """Inputs of a network, and the index of each one's class, int64 N.

    `pool` holds films (float32 M x 1 x S x S in [0, 1]), or what frozen stages made of them (float16 M x C x h x w). It
    may be larger than memory: examples are its `rows` (N), or all of it. `places` (int8 M x h x w) says what lies where
    on their feature maps, as far as it is known (`lesion_targets`).
    """

    pool: Inputs
    labels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.intp] | None = None
    places: Places | None = None

    @property
    def inputs(self) -> Inputs:
        """All of them, N x C x S x S."""
        return self.pool if self.rows is None else self.pool[self.rows]

    def batch(self, chosen: Indices) -> Inputs:
        """Some of them, by their number."""
        return self.pool[self._in_pool(chosen)]

    def places_of(self, chosen: Indices) -> Places | None:
        """Return the known classes of the places of some of them, n x h x w."""
        return None if self.places is None else self.places[self._in_pool(chosen)]

    def _in_pool(self, chosen: Indices) -> "npt.NDArray[np.intp]":
        return chosen if self.rows is None else self.rows[chosen]
