"""Examples that a network is trained or evaluated on: inputs and class indices."""

from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from services.train.data.device import Indices, Inputs
from services.train.data.lesion_targets import PlaceLabels
from shared.domain.arrays import Float32Array, Int64Array

StoredInputs: TypeAlias = npt.NDArray[np.number[Any]]
"""Inputs as they are kept: floats (float32, float16), or whole numbers whose largest value is 1 (uint8, uint16)."""

Depth: TypeAlias = type[np.uint8] | type[np.uint16]


def rounded(inputs: Float32Array, depth: Depth) -> StoredInputs:
    """Round inputs in [0, 1] to whole numbers."""
    return np.asarray(np.rint(inputs * _highest(depth)), depth)


def as_floats(stored: StoredInputs) -> Inputs:
    """Return stored inputs as floats; those that are floats stay as they are."""
    depth = next((depth for depth in (np.uint8, np.uint16) if stored.dtype == depth), None)
    if depth is None:
        return cast("Inputs", stored)
    return np.asarray(stored.astype(np.float32) / _highest(depth))


def _highest(depth: Depth) -> float:
    return float(np.iinfo(depth).max)


@dataclass(frozen=True)
class Examples:
    """Inputs of a network and the index of each one's class, int64 N.

    `pool` holds films (M x 1 x S x S, as `StoredInputs`) or feature maps of frozen stages (float16 M x C x h x w). It
    may be memory-mapped and larger than memory; the examples are its `rows` (N), or all of it. `place_labels`
    (int8 M x h x w) are the known classes of the places of the feature maps (`lesion_targets`).
    """

    pool: StoredInputs
    labels: Int64Array
    rows: npt.NDArray[np.intp] | None = None
    place_labels: PlaceLabels | None = None

    @property
    def inputs(self) -> Inputs:
        """All inputs at once, N x C x S x S; `read` for those of a large data set."""
        return as_floats(self.pool if self.rows is None else self.pool[self.rows])

    def read(self, indices: Indices) -> Inputs:
        """Return the inputs of the examples at `indices`."""
        return as_floats(self.pool[self._in_pool(indices)])

    def read_place_labels(self, indices: Indices) -> PlaceLabels | None:
        """Return the place labels of the examples at `indices`, n x h x w."""
        return None if self.place_labels is None else self.place_labels[self._in_pool(indices)]

    def _in_pool(self, indices: Indices) -> "npt.NDArray[np.intp]":
        return indices if self.rows is None else self.rows[indices]
