"""The data set of a benchmark: MIAS where MAMMO_TEST_MIAS names a copy of it, otherwise generated films."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.datasets.synthetic import draw, write_dataset
from shared.imaging.formats.decode import decode, encode_pgm
from shared.imaging.image import to_8bit

FILMS = 8


def write_source(folder: Path, patients: int, seed: int) -> str:
    """Writes mdbNNN.pgm and Info.txt into `folder`, and says what they are."""
    given = os.environ.get("MAMMO_TEST_MIAS")
    if not given:
        write_dataset(folder, patients, seed)
        return "generated films"
    folder.mkdir()
    for png in _pngs(given):
        (folder / f"{png.stem}.pgm").write_bytes(encode_pgm(decode(png.read_bytes()).pixels))
    (folder / "Info.txt").write_bytes((Path(given) / "Info.txt").read_bytes())
    return "films of MIAS"


def films() -> list[npt.NDArray[np.uint8]]:
    """Eight films spread over it, H x W."""
    if given := os.environ.get("MAMMO_TEST_MIAS"):
        files = _pngs(given)
        return [to_8bit(decode(file.read_bytes())) for file in files[:: len(files) // FILMS][:FILMS]]
    return [draw(number, seed=3).pixels for number in range(1, FILMS + 1)]


def _pngs(given: str) -> list[Path]:
    found = sorted((Path(given) / "png").glob("mdb*.png"))
    if len(found) < FILMS:
        raise SystemExit(f"MAMMO_TEST_MIAS is {given}, which has no png/mdbNNN.png; name a copy of MIAS, or unset it")
    return found
