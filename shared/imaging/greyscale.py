"""From stored values to grey levels as DICOM PS3.3 says (C.11.1 and C.11.2): modality, values of interest, polarity.

A stored value has at most 16 bits, so the whole way is worked out once for all of them and kept in a table; an image
of any size is then one look-up.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
WindowFunction: TypeAlias = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, eq=False)
class Lut:
    """A look-up table: `values` (uint16), the first of which belongs to the input `first`; `bits` is their depth."""

    first: int
    values: npt.NDArray[np.uint16]
    bits: int

    def __call__(self, inputs: Floats) -> Floats:
        index = (np.floor(inputs) - self.first).clip(0, len(self.values) - 1).astype(np.int64)
        return self.values[index].astype(np.float64)


@dataclass(frozen=True)
class Window:
    """`width` is at least 1 (LINEAR) or above 0; both are in units of the modality's values."""

    centre: float
    width: float
    function: WindowFunction = "LINEAR"

    def __call__(self, inputs: Floats) -> Floats:
        """0..1 (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
        if self.function == "SIGMOID":
            # Clipped: far outside, the exponential overflows.
            return np.asarray(1 / (1 + np.exp((-4 * (inputs - self.centre) / self.width).clip(-500, 500))))
        if self.function == "LINEAR_EXACT":
            return ((inputs - self.centre) / self.width + 0.5).clip(0, 1)
        if self.width == 1:
            return (inputs > self.centre - 0.5).astype(np.float64)
        return ((inputs - (self.centre - 0.5)) / (self.width - 1) + 0.5).clip(0, 1)


@dataclass(frozen=True, eq=False)
class Greyscale:
    """What a file says about the meaning of its stored values.

    A word holds its value in the `bits` up to `high_bit`; what lies above (overlays, once) is not part of it.
    `modality` is a table or a slope and an intercept; without `interest` all values that occur are shown. `padding` is
    the lowest and the highest stored value that stand for no image.
    """

    bits: int
    high_bit: int
    signed: bool
    inverted: bool
    modality: Lut | tuple[float, float] = (1.0, 0.0)
    interest: Lut | Window | None = None
    padding: tuple[int, int] | None = None

    def stored(self, words: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The stored values that words (of 8 or 16 bits) hold."""
        values = (words >> (self.high_bit + 1 - self.bits)) & (2**self.bits - 1)
        sign = 2 ** (self.bits - 1) if self.signed else 0
        return np.asarray((values ^ sign) - sign)

    def table(self, present: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.uint8 | np.uint16], int]:
        """The grey level of every word (of 8 or 16 bits), 0 for padding, and their depth in bits.

        `present` (2^8 or 2^16) says which words occur. With a window or a table of interest the levels fill 16 bits;
        without one they are the file's own steps from the lowest value that occurs, so that no depth is lost or made
        up: BitsStored is often only the container's.
        """
        stored = self.stored(np.arange(len(present)))
        padded = np.zeros(len(present), np.bool_)
        if self.padding is not None:
            padded = (self.padding[0] <= stored) & (stored <= self.padding[1])
        shown, top = self._shown(stored, present & ~padded)
        if self.inverted:
            shown = top - shown
        shown[padded] = 0
        bits = max(8, int(top).bit_length())
        return np.rint(shown).astype(np.uint8 if bits == 8 else np.uint16), bits

    def _shown(self, stored: npt.NDArray[np.int64], occurring: npt.NDArray[np.bool_]) -> tuple[Floats, int]:
        """Grey levels before polarity, and the highest that there can be."""
        values = stored.astype(np.float64)
        if isinstance(self.modality, Lut):
            values = self.modality(values)
        elif self.interest is None:
            values *= np.sign(self.modality[0])
        else:
            values = values * self.modality[0] + self.modality[1]
        if isinstance(self.interest, Lut):
            return self.interest(values) * (65535 / (2**self.interest.bits - 1)), 65535
        if self.interest is not None:
            return self.interest(values) * 65535, 65535
        if not occurring.any():
            return np.zeros(len(stored)), 255
        low, high = values[occurring].min(), values[occurring].max()
        return values.clip(low, high) - low, int(high - low)
