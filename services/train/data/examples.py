"""Examples that a network is trained or evaluated on: inputs and class indices."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.train.data.device import Indices, Inputs
from services.train.data.lesion_targets import PlaceLabels
from shared.domain.arrays import Int64Array


@dataclass(frozen=True)
class Examples:
    """Inputs of a network and the index of each one's class, int64 N.

    `pool` holds films (float32 M x 1 x S x S in [0, 1]) or feature maps of frozen stages (float16 M x C x h x w). It
    may be memory-mapped and larger than memory; the examples are its `rows` (N), or all of it. `place_labels`
    (int8 M x h x w) are the known classes of the places of the feature maps (`lesion_targets`).
    """

    pool: Inputs
    labels: Int64Array
    rows: npt.NDArray[np.intp] | None = None
    place_labels: PlaceLabels | None = None

    @property
    def inputs(self) -> Inputs:
        """All inputs, N x C x S x S."""
        return self.pool if self.rows is None else self.pool[self.rows]

    def read(self, indices: Indices) -> Inputs:
        """Return the inputs of the examples at `indices`."""
        return self.pool[self._in_pool(indices)]

    def read_place_labels(self, indices: Indices) -> PlaceLabels | None:
        """Return the place labels of the examples at `indices`, n x h x w."""
        return None if self.place_labels is None else self.place_labels[self._in_pool(indices)]

    def _in_pool(self, indices: Indices) -> "npt.NDArray[np.intp]":
        return indices if self.rows is None else self.rows[indices]
