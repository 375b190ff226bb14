"""`make bench-imaging`: how good and how fast imaging and augmentation are, beside other libraries, in tables.

Real films are taken where `MAMMO_TEST_MIAS`, `MAMMO_TEST_MIAS_MASKS` and `MAMMO_TEST_DICOM` say where they are. Each
part is a process of its own; those that compare with other libraries run in the environment that has them.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from shared.local.commands import ROOT
from tests.bench.results import record, shown

ENVIRONMENT = ROOT / ".venv-bench" / "imaging"


@dataclass(frozen=True)
class Part:
    """A module of `tests.bench` and its arguments; `compares` with what only ENVIRONMENT has."""

    module: str
    arguments: tuple[str, ...] = ()
    compares: bool = False


def parts(sheet: Path, films: Path | None, base: str) -> dict[str, Part]:
    real = ("--films", str(films)) if films else ()
    return {
        "films": Part("real_films", ("--sheet", str(sheet.with_name("films.jpg")), *real)),
        "segmentation": Part("segmentation", ("--sheet", str(sheet))),
        "preparing": Part("preparing", ("--base", base)),
        "reading": Part("reading"),
        "augmentation": Part("augmentation", compares=True),
        "pngs": Part("pngs"),
        "throughput": Part("throughput"),
        "syntaxes": Part("syntaxes", compares=True),
    }


def run(part: Part) -> str:
    """Run a part, show what it prints while it does, and return it."""
    python = sys.executable
    if part.compares:
        python = str(ENVIRONMENT / "bin" / "python")
        if not (ENVIRONMENT / "ready").exists():
            print(f"{part.module} is left out: the libraries to compare with are not installed; see {ENVIRONMENT}/log")
            return ""
    return shown([python, "-m", f"tests.bench.{part.module}", *part.arguments])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sheet", type=Path, default=ROOT / "var" / "bench" / "segmentation.jpg", help="a picture")
    parser.add_argument(
        "--films", type=Path, help="a folder of films with truth, in the layout that film_folders.py describes"
    )
    parser.add_argument("--base", default="7d3aabf", help="the commit that preparing is compared with")
    parser.add_argument("--only", help="one part: " + ", ".join(parts(Path("x"), None, "")))
    parser.add_argument("--record", action="store_true", help="keep the tables in benchmarks/RESULTS.md")
    chosen = parser.parse_args()
    for name, part in parts(chosen.sheet, chosen.films, chosen.base).items():
        if chosen.only in (None, name):
            print(flush=True)
            printed = run(part)
            if chosen.record and printed:
                folder = f" FILMS={chosen.films.name}" if name == "films" and chosen.films else ""
                record(f"make bench-imaging ONLY={name}{folder}", printed)


if __name__ == "__main__":
    main()
