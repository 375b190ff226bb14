"""The data set of a benchmark: MIAS where MAMMO_TEST_MIAS names a copy of it, otherwise generated films."""

import os
from pathlib import Path

from shared.datasets.synthetic import write_dataset
from shared.imaging.decode import decode, encode_pgm


def write_source(folder: Path, patients: int, seed: int) -> str:
    """Writes mdbNNN.pgm and Info.txt into `folder`, and says what they are."""
    given = os.environ.get("MAMMO_TEST_MIAS")
    if not given:
        write_dataset(folder, patients, seed)
        return "generated films"
    folder.mkdir()
    for png in sorted((Path(given) / "png").glob("mdb*.png")):
        (folder / f"{png.stem}.pgm").write_bytes(encode_pgm(decode(png.read_bytes()).pixels))
    (folder / "Info.txt").write_bytes((Path(given) / "Info.txt").read_bytes())
    return "films of MIAS"
