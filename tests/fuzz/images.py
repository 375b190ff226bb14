"""Damages image files of every format that is read, by seed, and looks what `decode` makes of them.

    python -m tests.fuzz.images --executions 200000 --seed 1

Wrong is: an exception that is no ImageError, a process that dies, and an image that comes out otherwise when it is
decoded again, for it holds what the memory held before. Each format is worked on in a process of its own, so that one
that dies says by which file; `file_of(format, seed)` makes that file again.
"""

import argparse
import resource
import struct
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized

import cv2
import numpy as np

from shared.datasets.synthetic import draw
from shared.errors import ImageError
from shared.imaging.formats.decode import decode, encode_pgm, encode_png
from tests.support.dicoms import LOSSLESS, LOSSY, NATIVE, dicom, table
from tests.support.tiffs import page, tiff

LEAST_EDGE = 20
ODD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF, 0x8000, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 60000)


@dataclass
class Report:
    """What happened to the files of a format. `wrong` holds a seed and what it did; `slowest` is seconds and seed;
    `grown_mb` is by how much the process was larger at its largest than before."""

    executions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)
    grown_mb: float = 0.0


@cache
def corpus() -> dict[str, bytes]:
    """A small undamaged file of each format."""
    film = cv2.resize(draw(2, seed=5).pixels, (48, 60), interpolation=cv2.INTER_AREA)
    eight = np.asarray(film, np.uint8)
    twelve = eight.astype(np.uint16) * 16
    colour = cv2.cvtColor(eight, cv2.COLOR_GRAY2BGR)

    def by_opencv(ending: str, pixels: cv2.typing.MatLike, *options: int) -> bytes:
        return cv2.imencode(ending, pixels, options)[1].tobytes()

    files = {
        "PGM": encode_pgm(eight),
        "PGM 16": encode_pgm(twelve),
        "PNG": encode_png(eight),
        "PNG 16": encode_png(twelve),
        "PNG colour": by_opencv(".png", colour),
        "JPEG": by_opencv(".jpg", eight),
        "JPEG progressive": by_opencv(".jpg", colour, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "TIFF LZW": by_opencv(".tiff", eight),
        "TIFF plain": by_opencv(".tiff", twelve, cv2.IMWRITE_TIFF_COMPRESSION, 1),
        "TIFF colour": by_opencv(".tiff", colour, cv2.IMWRITE_TIFF_COMPRESSION, 8),
    }
    for name, compression, layout in (("strips", 8, {}), ("tiles", 5, {"tile": (16, 32)}), ("PackBits", 32773, {})):
        files[f"TIFF {name}"] = tiff(page(twelve, compression=compression, **layout), big=name == "tiles")
    files["TIFF thumbnail"] = tiff(page(eight[::4, ::4], t254=1), page(eight), order=">")
    files |= {f"DICOM {name}": dicom(twelve, syntax, BitsStored=12) for name, syntax in NATIVE.items()}
    for name, (syntax, encode) in {**LOSSLESS, **LOSSY}.items():
        pixels = eight if name == "JPEG baseline" else twelve
        files[f"DICOM {name}"] = dicom(pixels, syntax, encode(pixels), BitsStored=8 if pixels is eight else 12)
    files["DICOM table"] = dicom(twelve, BitsStored=12, VOILUTSequence=[table(0, np.arange(4096, dtype=np.uint16), 12)])
    files["DICOM window"] = dicom(twelve, BitsStored=12, WindowCenter=["2000", "9"], WindowWidth=["900", "3"])
    return files


def file_of(name: str, seed: int) -> bytes:
    """The file of a format, damaged as the seed says."""
    rng = np.random.default_rng(seed)
    data = bytearray(corpus()[name])
    for _ in range(int(rng.integers(1, 6))):
        _damage(data, rng)
    if name.startswith("PNG") and rng.random() < 0.8:
        _mend_checksums(data)
    return bytes(data)


def fuzz(name: str, seeds: range, current: "Synchronized[int] | None" = None) -> Report:
    """Decodes the files of a format; `current` is set to the seed that is being worked on."""
    report = Report()
    decode(corpus()[name])
    before = _largest_mb()
    for seed in seeds:
        if current is not None:
            current.value = seed
        data = file_of(name, seed)
        start = time.perf_counter()
        report.outcomes[_outcome(data, seed, report)] += 1
        report.slowest = max(report.slowest, (time.perf_counter() - start, seed))
        report.executions += 1
    report.grown_mb = _largest_mb() - before
    return report


def fuzz_all(executions: int, first_seed: int) -> Iterator[tuple[str, Report]]:
    """Divides the executions among the formats. A process that dies is wrong, and the next goes on behind its file."""
    context = get_context("spawn")
    share = -(-executions // len(corpus()))
    for name in corpus():
        total, seeds = Report(), range(first_seed, first_seed + share)
        while seeds:
            current = context.Value("Q", seeds.start)
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(name, seeds, current, writer))
            process.start()
            writer.close()
            try:
                _add(total, reader.recv())
                seeds = range(0)
            except EOFError:
                total.wrong.append((int(current.value), "the process died"))
                total.executions += int(current.value) + 1 - seeds.start
                seeds = range(int(current.value) + 1, seeds.stop)
            process.join()
        yield name, total


def _work(name: str, seeds: range, current: "Synchronized[int]", writer: "object") -> None:
    writer.send(fuzz(name, seeds, current))  # type: ignore[attr-defined]


def _outcome(data: bytes, seed: int, report: Report) -> str:
    try:
        image = decode(data, LEAST_EDGE)
    except ImageError as error:
        return error.code
    except BaseException as error:  # noqa: BLE001  whatever comes is what we look for
        report.wrong.append((seed, f"{type(error).__name__}: {error}"[:200]))
        return "wrong"
    # Other memory is handed out to the second one, if it is handed out uncleaned.
    used = [np.full(image.pixels.shape, seed % 251, np.uint16) for _ in range(4)]
    del used
    if not np.array_equal(image.pixels, decode(data, LEAST_EDGE).pixels):
        report.wrong.append((seed, "decoded again, it is another image"))
        return "wrong"
    return "read"


def _damage(data: bytearray, rng: np.random.Generator) -> None:
    """One change: mostly of a byte or a number, seldom of the length; every second one in the header."""
    if len(data) < 8:
        return
    end = min(len(data), 600) if rng.random() < 0.5 else len(data)
    at = int(rng.integers(0, end - 4))
    kind = rng.random()
    if kind < 0.3:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind < 0.5:
        data[at] = int(rng.integers(256))
    elif kind < 0.8:
        layout = str(rng.choice(["B", "<H", ">H", "<I", ">I"]))
        size = struct.calcsize(layout)
        data[at : at + size] = struct.pack(layout, int(rng.choice(ODD)) & (256**size - 1))
    elif kind < 0.87:
        del data[at : at + int(rng.integers(1, 40))]
    elif kind < 0.94:
        piece = data[(start := int(rng.integers(len(data)))) : start + int(rng.integers(1, 60))]
        data[at:at] = piece
    else:
        del data[int(rng.integers(len(data) // 2, len(data))) :]


def _mend_checksums(data: bytearray) -> None:
    """Gives each chunk of a PNG the checksum that it should have, so that the damage gets past it."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + struct.unpack_from(">I", data, at)[0]
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4


def _add(total: Report, part: Report) -> None:
    total.executions += part.executions
    total.outcomes += part.outcomes
    total.wrong += part.wrong
    total.slowest = max(total.slowest, part.slowest)
    total.grown_mb = max(total.grown_mb, part.grown_mb)


def _largest_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="decode damaged image files of every format")
    parser.add_argument("--executions", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    done = wrong = 0
    for name, report in fuzz_all(asked.executions, asked.seed):
        outcomes = ", ".join(f"{outcome} {count}" for outcome, count in sorted(report.outcomes.items()))
        slowest, seed = report.slowest
        print(
            f"{name:26} {report.executions:6} | {outcomes} | slowest {slowest * 1000:.0f} ms (seed {seed})"
            f" | grew by {report.grown_mb:.0f} MB",
            flush=True,
        )
        for seed, what in report.wrong[:5]:
            print(f"    seed {seed}: {what}", flush=True)
        done, wrong = done + report.executions, wrong + len(report.wrong)
    print(f"{done} executions, {wrong} wrong")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
