"""Write one generated film of 12 bits in three sizes and five encodings, such as `2048-J2K`, into a folder.

Larger ones are the film of 1024 pixels, enlarged, with the grain of their own scanner: they compress as films do.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_pgm, encode_png
from tests.support.dicoms import LOSSLESS, dicom

SIZES = (1024, 2048, 4096)
_BITS, _GRAIN = 12, 6.0
Words = npt.NDArray[np.uint16]


def _encapsulated(name: str) -> Callable[[Words], bytes]:
    syntax, encode = LOSSLESS[name]
    return lambda pixels: dicom(pixels, syntax, encode(pixels), BitsStored=_BITS)


def _pgm(pixels: Words) -> bytes:
    """With the depth of the pixels, which `encode_pgm` does not know: it writes that of their type."""
    return encode_pgm(pixels).replace(b"\n65535\n", b"\n%d\n" % (2**_BITS - 1), 1)


ENCODINGS: dict[str, Callable[[Words], bytes]] = {
    "PNG": encode_png,
    "PGM": _pgm,
    "DICOM": lambda pixels: dicom(pixels, BitsStored=_BITS),
    "J2K": _encapsulated("JPEG 2000 lossless"),
    "JPEG-LL": _encapsulated("JPEG lossless SV1"),
}


def film(size: int) -> Words:
    """Uint16, size x size, 0 outside the scanned strip."""
    rng = np.random.default_rng(1)
    small = render(rng, "left", "G", Label.BENIGN).pixels.astype(np.float32) * 16
    large = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    large += rng.standard_normal(large.shape, np.float32) * _GRAIN * (large > 0)
    return large.clip(0, 2**_BITS - 1).astype(np.uint16)


if __name__ == "__main__":
    for size in SIZES:
        pixels = film(size)
        for encoding, write in ENCODINGS.items():
            (Path(sys.argv[1]) / f"{size}-{encoding}").write_bytes(write(pixels))
