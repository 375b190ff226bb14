"""Turn stored values into grey levels by DICOM PS3.3 C.11.1 and C.11.2.

Modality, values of interest and polarity are applied once to all values of 8 or 16 bits, which makes a table; an image
of any size is then one look-up.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32Array, Float64Array
from shared.imaging.formats.depth import depth_of

DARKEST = 0.001
"""Share of a film's pixels that may be darker than its black: one defective pixel is."""

WindowFunction: TypeAlias = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A look-up table: `values` (uint16) of `bits` for inputs from `first` onwards."""

    first: int
    values: npt.NDArray[np.uint16]
    bits: int

    def __call__(self, inputs: Float64Array) -> Float64Array:
        index = (np.floor(inputs) - self.first).clip(0, len(self.values) - 1).astype(np.int64)
        return self.values[index].astype(np.float64)


@dataclass(frozen=True)
class Window:
    """A window in units of the modality's values.

    `width` is at least 1 (LINEAR) or above 0.
    """

    centre: float
    width: float
    function: WindowFunction = "LINEAR"

    def __call__(self, inputs: Float64Array) -> Float64Array:
        """Map values of the modality to 0..1 (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
        if self.function == "SIGMOID":
            # Clipped: far outside, the exponential overflows.
            return np.asarray(1 / (1 + np.exp((-4 * (inputs - self.centre) / self.width).clip(-500, 500))))
        if self.function == "LINEAR_EXACT":
            return ((inputs - self.centre) / self.width + 0.5).clip(0, 1)
        if self.width == 1:
            return (inputs > self.centre - 0.5).astype(np.float64)
        return ((inputs - (self.centre - 0.5)) / (self.width - 1) + 0.5).clip(0, 1)

    @property
    def line(self) -> tuple[float, float] | None:
        """Slope and intercept of the function between 0 and 1, where it is a line."""
        if self.function == "SIGMOID" or self.width == 1:
            return None
        centre, width = (
            (self.centre, self.width) if self.function == "LINEAR_EXACT" else (self.centre - 0.5, self.width - 1)
        )
        return 1 / width, 0.5 - centre / width

    def steps(self, step: float) -> int:
        """Count the stored values between black and white, at least 255.

        Stored values are `step` apart in the modality's values.
        """
        width = self.width - 1 if self.function == "LINEAR" else self.width
        return round(min(max(width / step, 255), 65535))


@dataclass(frozen=True, eq=False)
class Greyscale:
    """Meaning of the stored values, as the file states it.

    A word holds its value in the `bits` up to `high_bit`; what lies above (overlays, once) is not part of it. The words
    of a codec (`high_bit` None) are values, which a lossy one may carry beyond the highest: those are clipped to it.
    `modality` is a table or a slope and an intercept; without `interest` all values that occur are shown. `padding` is
    the lowest and the highest stored value that stand for no image.
    """

    bits: int
    high_bit: int | None
    signed: bool
    inverted: bool
    modality: LookupTable | tuple[float, float] = (1.0, 0.0)
    interest: LookupTable | Window | None = None
    padding: tuple[int, int] | None = None

    def stored(self, words: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the stored values that words (of 8 or 16 bits) hold."""
        highest = 2**self.bits - 1
        if self.high_bit is None and not self.signed:
            return np.asarray(words.clip(0, highest))
        values = (words >> (0 if self.high_bit is None else self.high_bit + 1 - self.bits)) & highest
        sign = 2 ** (self.bits - 1) if self.signed else 0
        return np.asarray((values ^ sign) - sign)

    def levels(self, counts: Float32Array) -> "GreyLevels":
        """Return the grey level of every word of 8 or 16 bits, from their `counts`.

        A level is a step of the file's own values, so that no depth is lost or made up: a window yields as many levels
        as it is wide, a table those that it holds. The darkest thousandth and padding become 0; the depth is that of
        the film (`depth.py`), and may be less than the window or table has room for.
        """
        stored = self.stored(np.arange(len(counts)))
        if self.padding is not None:
            padded = (self.padding[0] <= stored) & (stored <= self.padding[1])
            counts = np.where(padded, 0, counts)
        display, line = self._display_values(stored)
        if self.inverted:
            display, line = -display, line and (-line[0], -line[1])
        lowest = display.min()
        steps = np.rint(display - lowest).clip(0, 65535).astype(np.int64)
        histogram = np.bincount(steps, counts, 65536)
        below = histogram.cumsum()
        black = int(np.searchsorted(below, DARKEST * below[-1], side="right")) if below[-1] else 0
        histogram[black] = below[min(black, 65535)]
        bits = depth_of(np.pad(histogram[black:], (0, black)))
        table = (steps - black).clip(0, 2**bits - 1)
        if self.padding is not None:
            table[padded] = 0
        line = line and (line[0], line[1] - lowest - black)
        return GreyLevels(table.astype(np.uint8 if bits == 8 else np.uint16), bits, line)

    def _display_values(self, stored: npt.NDArray[np.int64]) -> tuple[Float64Array, tuple[float, float] | None]:
        """Return grey levels before polarity, and the line that leads to them.

        The line (slope, intercept) maps values of the modality to grey levels; None where it is no line.
        """
        values, slope, intercept = stored.astype(np.float64), 1.0, 0.0
        if isinstance(self.modality, LookupTable):
            values = self.modality(values)
        else:
            slope, intercept = self.modality
            values = values * slope + intercept
        if isinstance(self.interest, LookupTable):
            return self.interest(values), None
        if self.interest is None:
            return (values - intercept) / abs(slope), (1 / abs(slope), -intercept / abs(slope))
        steps = self.interest.steps(abs(slope))
        line = self.interest.line
        return self.interest(values) * steps, line and (line[0] * steps, line[1] * steps)


@dataclass(frozen=True, eq=False)
class GreyLevels:
    """Grey level of every word (`table`) and their depth (`bits`).

    `line` (slope, intercept) maps values of the modality to levels, where it is a line between black and white.
    """

    table: npt.NDArray[np.uint8 | np.uint16]
    bits: int
    line: tuple[float, float] | None
