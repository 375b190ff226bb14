"""What it costs to get from a file to the network's input: next to another commit, and next to decoding alone.

The other commit (BASE) is checked out into a temporary worktree; both prepare the same PGM films of 1024 x 1024 by
turns, of MIAS where `MAMMO_TEST_MIAS` names a copy, else generated. Large digital films of 12 bits are then compared
with their own decoding.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import cv2
import numpy as np

import services  # noqa: F401  sets what OpenMP must know before it is imported
from shared.datasets.synthetic_exams import Exposed, draw_exposure
from shared.imaging.formats.decode import decode, encode_pgm, encode_png
from shared.imaging.preprocess import Preprocessing, prepare
from shared.local.commands import ROOT
from tests.bench import timing
from tests.bench.checkouts import Side, checked_out
from tests.bench.dataset import films
from tests.support.dicoms import LOSSLESS, dicom

BASE, SIZE, ROUNDS = "7d3aabf", 224, 40
WANTED_OF_BASE, WANTED_OF_DECODING = 1.1, 1.2
_LARGE = (3328, 4096)  # width and height


def compare(base: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as folder, checked_out(base) as other:
        for number, film in enumerate(films()):
            (Path(folder) / f"{number}.pgm").write_bytes(encode_pgm(film))
        with (
            Side(ROOT, "preparing_side.py", folder, str(SIZE)) as mine,
            Side(other, "preparing_side.py", folder, str(SIZE)) as base_side,
        ):
            turns = [[side.ask() for side in (mine, base_side)] for _ in range(ROUNDS)]
    ours, theirs = (median(times) for times in zip(*turns, strict=True))
    ratio = median(one / another for one, another in turns)
    short = "" if ratio <= WANTED_OF_BASE else ", short"
    print(
        f"  PGM to the network's input: {ours:.2f} ms, at {base} {theirs:.2f} ms, ratio of neighbouring turns", end=" "
    )
    print(f"{ratio:.2f} (wanted {WANTED_OF_BASE}{short})")


def digital_film() -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """Return a generated digital film of 12 bits (uint16, 4096 x 3328) with the grain of its detector."""
    film = draw_exposure(Exposed(1, "right", "MLO", 1), seed=7)
    large = cv2.resize(film.pixels.astype(np.float32), _LARGE, interpolation=cv2.INTER_CUBIC)
    large += np.random.default_rng(1).standard_normal(large.shape, np.float32) * 6 * (large > 0)
    return large.clip(0, 2**film.bits - 1).astype(np.uint16)


def beside_decoding() -> None:
    pixels = digital_film()
    encodings = {"PNG": encode_png(pixels)}
    for name in ("JPEG lossless SV1", "JPEG 2000 lossless"):
        syntax, encode = LOSSLESS[name]
        encodings[name] = dicom(pixels, syntax, encode(pixels), BitsStored=12)
    preprocessing = Preprocessing(size=SIZE)
    for name, data in encodings.items():
        whole, alone = (
            lambda data=data: prepare(data, preprocessing),
            lambda data=data: decode(data, preprocessing.least_edge),
        )
        seen = timing.milliseconds({"whole": whole, "decoding": alone}, seconds=6.0)
        ratio = seen["whole"] / seen["decoding"]
        short = "" if ratio <= WANTED_OF_DECODING else ", short"
        print(f"  {name}, 4096 x 3328: {seen['whole']:.0f} ms, {ratio:.2f} of decoding alone", end=" ")
        print(f"(wanted {WANTED_OF_DECODING}{short})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default=BASE, help="the commit to compare with")
    base = parser.parse_args().base
    timing.keep_to_one_core()
    print("From a file to the network's input, milliseconds of one core")
    compare(base)
    beside_decoding()


if __name__ == "__main__":
    main()
