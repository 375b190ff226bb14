"""Read generated exams: images, films.csv (a row per film) and lesions.csv.

films.csv has the columns of `FilmRow`, lesions.csv those of `LesionRow`, each with a header. Empty cells are unknown.
Lesions have their origin at the top left edge of the film. Patients' films are not read in this layout yet, because
de-identification and terms of use are missing.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from shared.datasets.entries import FilmEntry
from shared.datasets.files import FolderFiles, SourceFiles
from shared.datasets.problems import SourceProblem
from shared.digests import sha256_hex
from shared.domain.films import Acquisition
from shared.domain.lesions import Lesion
from shared.domain.records import CLASSES, Label, Record
from shared.domain.terms import Terms
from shared.errors import DatasetError

FILMS, LESIONS = "films.csv", "lesions.csv"

_PART = "[A-Za-z0-9][A-Za-z0-9._-]*"
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
_T = TypeVar("_T")
_Known = Annotated[_T | None, BeforeValidator(lambda cell: cell or None)]


class FilmRow(Record):
    """One row of films.csv."""

    film: _Name
    file: str = Field(pattern=rf"^{_PART}(/{_PART})*$", description="of the image, from the folder of the table")
    patient: _Name
    exam: _Known[_Name]
    side: Literal["left", "right"]
    view: _Known[str]
    acquisition: _Known[Acquisition]
    vendor: _Known[str]
    density: Literal["F", "G", "D"]
    label: Label
    synthetic: Literal["yes"]


class LesionRow(Record):
    """One row of lesions.csv."""

    film: str
    kind: str
    label: Label
    x: _Known[float]
    y: _Known[float]
    radius: _Known[float]


class TableSource:
    """A folder with films.csv. Only generated films are read in this form."""

    synthetic = True
    terms: Terms | None = None
    """Manifests of generated films don't say them."""
    labelling: str | None = None
    header_wins: bool = False

    def __init__(self, path: Path) -> None:
        """Read the tables.

        Raises:
            DatasetError: a row is malformed, or contradicts another one.
        """
        self.path = path
        self.problems: list[SourceProblem] = []
        self.files: SourceFiles = FolderFiles(path)
        self.revision = sha256_hex(b"".join(_bytes_of(path / name) for name in (FILMS, LESIONS)))
        self._films: dict[str, tuple[str, FilmRow]] = {}
        exams: dict[str, str] = {}
        for where, film in _rows(path / FILMS, FilmRow):
            if film.film in self._films:
                raise DatasetError(where, f"film {film.film} has another row, {self._films[film.film][0]}; remove one")
            if film.exam and exams.setdefault(film.exam, film.patient) != film.patient:
                raise DatasetError(
                    where,
                    f"exam {film.exam} has films of two patients, {exams[film.exam]} and another; correct the table",
                )
            self._films[film.film] = where, film
        if not self._films:
            raise DatasetError(str(path / FILMS), "holds no film")
        self._lesions: dict[str, list[tuple[str, LesionRow]]] = defaultdict(list)
        for where, lesion in _rows(path / LESIONS, LesionRow):
            if lesion.film not in self._films:
                raise DatasetError(where, f"film {lesion.film} has no row in {FILMS}; add one, or remove the lesion")
            self._lesions[lesion.film].append((where, lesion))

    def stored(self, _entry: FilmEntry, data: bytes) -> bytes:
        """Return the file as it came: generated films show none."""
        return data

    def entries(self) -> Iterator[FilmEntry]:
        """Yield every film of the table; an image without a row is an error at the end."""
        files = {file.name: file for file in self.files.list()}
        for where, row in self._films.values():
            if row.file not in files:
                raise DatasetError(where, f"film {row.film} has no image; add {row.file} or remove the row")
            yield FilmEntry(
                **row.model_dump(exclude={"film", "file", "synthetic"}),
                id=row.film,
                file=files[row.file],
                where=where,
                lesions=partial(_lesions, where, row, self._lesions[row.film]),
            )
        self._check_all_named()

    def _check_all_named(self) -> None:
        named = {self.path / row.file for _, row in self._films.values()} | {self.path / FILMS, self.path / LESIONS}
        others = sorted(file for file in self.path.rglob("*") if file.is_file() and file not in named)
        if others:
            raise DatasetError(str(others[0]), f"{FILMS} has no row for this file; add one, or remove the file")


def write_tables(folder: Path, films: Iterable[FilmRow], lesions: Iterable[LesionRow]) -> None:
    """Write lesions.csv and then films.csv, which makes the folder a data set."""
    for name, kind, rows in ((LESIONS, LesionRow, lesions), (FILMS, FilmRow, films)):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(kind.model_fields), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: "" if cell is None else cell for key, cell in row.model_dump().items()} for row in rows)
        (folder / name).write_text(text.getvalue(), encoding="utf-8")


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DatasetError(str(file), f"can't be read as a table ({error}); expected UTF-8 text with commas") from error


_R = TypeVar("_R", FilmRow, LesionRow)


def _rows(file: Path, kind: type[_R]) -> Iterator[tuple[str, _R]]:
    """Yield the rows of a table with where they stand, such as 'films.csv:2'."""
    try:
        lines = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig")), restkey="more", strict=True)
        for cells in lines:
            where = f"{file}:{lines.line_num}"
            yield where, _row(where, kind, cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(str(file), f"can't be read as a table ({error}); expected UTF-8 text with commas") from error


def _row(where: str, kind: type[_R], cells: dict[str, Any]) -> _R:
    try:
        return kind.model_validate(cells, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(str(part) for part in first["loc"])
        if column == "synthetic":
            raise DatasetError(where, "only generated films (synthetic: yes) are read from films.csv") from error
        raise DatasetError(where, f"column '{column}': {first['msg']}") from error


def _lesions(
    where: str, film: FilmRow, rows: list[tuple[str, LesionRow]], width: int, height: int
) -> tuple[Lesion, ...]:
    lesions = tuple(_lesion(place, row, width, height) for place, row in rows)
    worst = max((lesion.label for lesion in lesions), key=CLASSES.index, default=film.label)
    if worst is not film.label:
        raise DatasetError(
            where, f"film {film.film} is {film.label} here but has a lesion that is {worst}; correct one"
        )
    return lesions


def _lesion(where: str, row: LesionRow, width: int, height: int) -> Lesion:
    if row.x is not None and row.y is not None and not (0 <= row.x <= width and 0 <= row.y <= height):
        raise DatasetError(where, f"({row.x:g}, {row.y:g}) is outside film {row.film}, {width} x {height}")
    return Lesion(kind=row.kind, label=row.label, x=row.x, y=row.y, radius=row.radius)
