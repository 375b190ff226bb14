"""Measure the bits of its container that a film uses, despite bright outliers.

Files of 16 bits hold films of 10 to 14, and declare more than they use; a burnt-in label, or one defective pixel, is
often at the container's maximum. Neither may make the film itself darker.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32Array
from shared.imaging.image import Pixels, unsigned

MOST_OUTLYING = 0.02
"""Share of a frame that labels and defects may take above the film's own grey levels."""
MOST_ADJOINING = 0.0005
"""Share of a frame that may lie just above a power of two while this is still taken for the end of the film: tissue
fades out there, a label is far away."""

_SAMPLED = 250_000
"""Pixels that are enough to measure shares of them."""


def depth_of(histogram: npt.NDArray[np.floating]) -> int:
    """Return the depth in bits, 8 to 16, of grey levels with a histogram (2^16).

    It is lowered as long as almost nothing lies in the upper half of the range, and next to nothing at its foot.
    """
    below = np.concatenate(([0.0], histogram.cumsum(dtype=np.float64)))
    total = below[-1]
    for bits in range(16, 8, -1):
        half = 2 ** (bits - 1)
        outlying, adjoining = total - below[half], below[half * 5 // 4] - below[half]
        if outlying > MOST_OUTLYING * total or adjoining > MOST_ADJOINING * total:
            return bits
    return 8


def within_depth(pixels: Pixels) -> tuple[Pixels, int]:
    """Clip outliers of 16-bit pixels to the depth that the film uses; return both."""
    bits = depth_of(counts(pixels))
    exceeds = int(pixels.max()) >> bits
    return unsigned(cv2.min(pixels, 2**bits - 1)) if exceeds else pixels, bits


def counts(words: Pixels) -> Float32Array:
    """Count the 2^8 or 2^16 words; in large images among some 250,000, evenly spread."""
    apart = max(1, math.isqrt(words.size // _SAMPLED))
    if apart > 1:
        words = unsigned(words[::apart, ::apart].copy())
    size = 2 ** (8 * words.itemsize)
    return np.asarray(cv2.calcHist([words], [0], None, [size], [0, size]).ravel(), np.float32)
