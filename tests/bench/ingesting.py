"""What ingestion costs: from a compressed archive next to a folder, and next to the bare decoding of its films.

Both sides of each comparison run in one go, by turns, on all cores of this machine.
"""

import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from statistics import median
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from shared.datasets.mapping import read_mapping
from shared.datasets.sources import open_source
from shared.datasets.synthetic_exams import Exposed, draw_exposure
from shared.domain.films import ViewName
from shared.imaging.formats.decode import decode, encode_pgm
from shared.imaging.preprocess import LEAST_EDGE
from shared.store.directory import DirectoryStore
from shared.store.ingest import ingest
from tests.support.dicoms import LOSSLESS, dicom
from tests.support.public_sets import put, put_table

SMALL_FILMS, LARGE_FILMS = 8_000, 24
WANTED_OF_FOLDER, WANTED_OF_DECODING = 1.5, 0.85
_ROUNDS = 3
_LARGE = (2560, 3328)  # width and height
_VIEWS: tuple[tuple[Literal["L", "R"], ViewName], ...] = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))


def main() -> None:
    """Measure both, and print the ratios with the wanted ones."""
    print("ingest:")
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as folder:
        _measure_archive(Path(folder))
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as folder:
        _measure_rate(Path(folder))


def _measure_archive(place: Path) -> None:
    folder, archive = _write_small(place / "films"), place / "films.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=6) as opened:
        opened.add(folder, ".")

    def ingested(source: Path) -> Callable[[], object]:
        def run() -> None:
            with tempfile.TemporaryDirectory(dir=place) as store:
                found = ingest(DirectoryStore(Path(store)), open_source(source), "small").dataset
            assert found.films == SMALL_FILMS

        return run

    seconds = _by_turns({"folder": ingested(folder), "archive": ingested(archive)})
    ratio = seconds["archive"] / seconds["folder"]
    print(
        f"  {SMALL_FILMS:,} small films: folder {seconds['folder']:.1f} s, tar.gz {seconds['archive']:.1f} s, "
        f"ratio {ratio:.2f} (wanted: at most {WANTED_OF_FOLDER})",
        flush=True,
    )


def _measure_rate(place: Path) -> None:
    _write_large(place / "rsna")
    files = sorted((place / "rsna" / "train_images").rglob("*.dcm"))

    def decoded() -> None:
        with ThreadPoolExecutor(cpu_count()) as threads:
            for _ in threads.map(lambda file: decode(file.read_bytes(), LEAST_EDGE).pixels.shape, files):
                pass

    def ingested() -> None:
        source = open_source(place / "rsna", read_mapping("rsna-2023"))
        with tempfile.TemporaryDirectory(dir=place) as store:
            found = ingest(DirectoryStore(Path(store)), source, "large").dataset
        assert found.films == LARGE_FILMS

    seconds = _by_turns({"decoding": decoded, "ingest": ingested})
    rates = {name: LARGE_FILMS / value for name, value in seconds.items()}
    width, height = _LARGE
    print(
        f"  films of {width} x {height}, 12 bits, JPEG 2000: ingest {rates['ingest']:.2f} films/s, bare reduced "
        f"decoding {rates['decoding']:.2f} films/s, ratio {rates['ingest'] / rates['decoding']:.2f} "
        f"(wanted: at least {WANTED_OF_DECODING})",
        flush=True,
    )


def _by_turns(sides: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each side."""
    seen: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(_ROUNDS):
        for name, run in sides.items():
            began = time.perf_counter()
            run()
            seen[name].append(time.perf_counter() - began)
    return {name: median(times) for name, times in seen.items()}


def _write_small(folder: Path) -> Path:
    folder.mkdir()
    random, rows = np.random.default_rng(0), []
    for number in range(1, SMALL_FILMS + 1):
        (folder / f"mdb{number:04d}.pgm").write_bytes(encode_pgm(random.integers(0, 255, (48, 64), np.uint8)))
        rows.append(f"mdb{number:04d} G NORM\n")
    (folder / "Info.txt").write_text("".join(rows))
    return folder


def _write_large(folder: Path) -> None:
    """Write generated films, with the noise of a detector, in the layout of RSNA's training set.

    All patients have the pixels of one.
    """
    syntax, encode = LOSSLESS["JPEG 2000 lossless"]
    frames = [(grey, encode(grey)) for grey in map(_large_film, _VIEWS)]
    rows = []
    for number in range(LARGE_FILMS):
        patient, (side, view) = number // len(_VIEWS), _VIEWS[number % len(_VIEWS)]
        grey, frame = frames[number % len(_VIEWS)]
        elements = {"ImageLaterality": side, "ViewPosition": view, "SOPInstanceUID": f"1.2.{number}", "BitsStored": 12}
        put(folder / "train_images" / str(patient) / f"{number}.dcm", dicom(grey, syntax, frame, **elements))
        rows.append((1, patient, number, side, view, 61, 0, 0, 0, 1, 0, "B", 49))
    columns = "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id"
    put_table(folder / "train.csv", columns, rows)


def _large_film(place: tuple[Literal["L", "R"], ViewName]) -> npt.NDArray[np.uint16]:
    drawn = draw_exposure(Exposed(1, "left" if place[0] == "L" else "right", place[1], 1), 3)
    pixels = cv2.resize(drawn.pixels, _LARGE, interpolation=cv2.INTER_LINEAR).astype(np.int32)
    noise = np.random.default_rng(0).integers(-8, 9, pixels.shape)
    return ((pixels << (12 - drawn.bits)) + noise).clip(0, 4095).astype(np.uint16)


if __name__ == "__main__":
    main()
