"""Read the mini-MIAS distribution (Suckling et al. 1994), a folder or archive.

It contains mdbNNN.pgm and Info.txt, which holds free text and one row for each lesion or normal film:

    mdb001 G CIRC B 535 425 197      density, class, severity, x, y from the bottom edge, radius
    mdb003 D NORM                    no lesion
    mdb059 F CIRC B                  a lesion without a position
    mdb216 D CALC M *NOTE 3*         calcifications all over the film

Films 2k-1 (right) and 2k (left) are the two breasts of patient k.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from shared.datasets.entries import FilmEntry
from shared.datasets.files import SourceFile, SourceFiles, open_files
from shared.datasets.problems import SourceProblem
from shared.digests import sha256_hex
from shared.domain.films import Density, ImageFormat
from shared.domain.lesions import Lesion
from shared.domain.records import CLASSES, Label
from shared.domain.terms import Terms
from shared.errors import DatasetError

KINDS = ("CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM")
SYNTHETIC_MARK = "SYNTHETIC FILMS"
_DENSITIES: dict[str, Density] = {"F": "F", "G": "G", "D": "D"}
_FORMATS: frozenset[ImageFormat] = frozenset(("PGM", "PNG", "JPEG", "TIFF"))
"""A DICOM file knows its patient, side and view; the numbers of this layout would make them up."""
_SEVERITIES = {"B": Label.BENIGN, "M": Label.MALIGNANT}
_FILM_ID = re.compile(r"mdb(\d{3,})", re.IGNORECASE)
# What is, or was meant as, a row: a film's number after whatever an editor put in front of it, or the columns of one.
_LIKE_A_ROW = re.compile(
    rf"[\W_]*mdb[\W_]*\w*\d|.*(^|[\W_])[{''.join(_DENSITIES)}]\W+(NORM|{'|'.join(KINDS)})\b", re.IGNORECASE
)


@dataclass(frozen=True)
class InfoRow:
    """One row of Info.txt; y still counts from the bottom edge."""

    where: str
    film: str
    density: Density
    lesion: Lesion | None


class Source:
    """The distribution on disk."""

    terms: Terms | None = None
    """The manifests of mini-MIAS, and of generated films in its layout, don't say them."""
    labelling: str | None = None
    header_wins: bool = False

    def __init__(self, path: Path) -> None:
        """Open a folder or archive.

        Raises:
            DatasetError: `path` is neither a folder nor a tar archive, or has no Info.txt.
        """
        self.path = path
        self.problems: list[SourceProblem] = []
        self.files: SourceFiles = open_files(path)
        infos = [file for file in self.files.list() if PurePosixPath(file.name).name.lower() == "info.txt"]
        if len(infos) != 1:
            raise DatasetError(str(path), f"holds {len(infos)} files Info.txt; keep exactly one")
        self.info_name = infos[0].name
        info = self.files.read(infos[0])
        self.info, self.revision = _decoded(info), sha256_hex(info)
        self.synthetic = SYNTHETIC_MARK in self.info

    def stored(self, _entry: FilmEntry, data: bytes) -> bytes:
        """Return the file as it came: the distribution names no patient."""
        return data

    def entries(self) -> Iterator[FilmEntry]:
        """Yield every film with its rows; a film or row without the other is an error."""
        rows = {film: list(group) for film, group in groupby(sorted(_rows(self), key=_film_of), key=_film_of)}
        names: dict[str, str] = {}
        for file in self.files.list():
            stem, _, ending = PurePosixPath(file.name).name.lower().rpartition(".")
            if ending != "pgm" or not _FILM_ID.fullmatch(stem):
                continue
            if stem in names:
                raise DatasetError(file.name, f"film {stem} has a second image, {names[stem]}; remove one")
            if stem not in rows:
                raise DatasetError(
                    file.name, f"film {stem} has no row in {self.info_name}; add the row or remove the film"
                )
            names[stem] = file.name
            yield _entry(file, stem, rows[stem])
        for film, of_film in rows.items():
            if film not in names:
                raise DatasetError(of_film[0].where, f"film {film} has no image; add {film}.pgm or remove the row")


def parse_info(text: str, name: str = "Info.txt") -> list[InfoRow]:
    """Read the rows of Info.txt, in its order.

    The free text around them is passed over. A line that looks like a row and is none is an error: passed over, it
    would turn a malignant film into a benign or normal one.

    Raises:
        DatasetError: a row is malformed; names the file and the line.
    """
    return [
        _row(line, f"{name}:{number}")
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1)
        if _LIKE_A_ROW.match(line)
    ]


def lesions_near(film: Path, width: int, height: int) -> tuple[Lesion, ...]:
    """Return a film's lesions from an Info.txt in its folder or the parent folder.

    The result is empty if there is no row for the film.

    Raises:
        DatasetError: a row is malformed, or a lesion lies outside the film.
    """
    info = next((info for folder in film.absolute().parents[:2] if (info := folder / "Info.txt").is_file()), None)
    rows = parse_info(_decoded(info.read_bytes()), str(info)) if info else []
    return tuple(
        _from_top(row, row.lesion, width, height) for row in rows if row.film == film.stem.lower() and row.lesion
    )


def _decoded(info: bytes) -> str:
    """Decode an Info.txt, which is ASCII unless a byte order mark says otherwise."""
    if info.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return info.decode("utf-16", errors="replace")
    return info.removeprefix(codecs.BOM_UTF8).decode("ascii", errors="replace")


def _row(line: str, where: str) -> InfoRow:
    if not _FILM_ID.match(line):
        raise DatasetError(where, f"'{line[:60]}' looks like a row, and rows begin with mdbNNN; correct or remove it")
    words = line.split()
    film, density, kind = (*words, "", "")[:3]
    film = film.lower()
    if not _FILM_ID.fullmatch(film):
        raise DatasetError(where, f"'{film}' is not a film's number; expected mdbNNN")
    if density not in _DENSITIES:
        raise DatasetError(
            where, f"unknown density '{density}' of film {film}; expected one of {', '.join(_DENSITIES)}"
        )
    row_density = _DENSITIES[density]
    if kind == "NORM" and len(words) == 3:
        return InfoRow(where, film, row_density, None)
    if kind not in KINDS:
        expected = ", ".join(("NORM", *KINDS))
        raise DatasetError(where, f"unknown class '{' '.join(words[2:])}' of film {film}; expected one of {expected}")
    severity, place = words[3:4], words[4:]
    if not severity or severity[0] not in _SEVERITIES:
        raise DatasetError(where, f"unknown severity '{''.join(severity)}' of film {film}; expected B or M")
    label = _SEVERITIES[severity[0]]
    if not place or place[0].startswith("*"):
        return InfoRow(where, film, row_density, Lesion(kind=kind, label=label))
    if len(place) != 3 or not all(number.isdecimal() for number in place) or place[2] == "0":
        raise DatasetError(where, f"'{' '.join(place)}' of film {film} is not x, y and radius in pixels")
    x, y, radius = (float(number) for number in place)
    return InfoRow(where, film, row_density, Lesion(kind=kind, label=label, x=x, y=y, radius=radius))


def _rows(source: Source) -> list[InfoRow]:
    rows = parse_info(source.info, source.info_name)
    if not rows:
        raise DatasetError(source.info_name, "holds no row such as 'mdb001 G CIRC B 535 425 197'")
    return rows


def _film_of(row: InfoRow) -> str:
    return row.film


def _entry(file: SourceFile, film: str, rows: list[InfoRow]) -> FilmEntry:
    for row in rows:
        if row.density != rows[0].density:
            raise DatasetError(row.where, f"film {film} has density {rows[0].density} at {rows[0].where}")
        if row.lesion is None and len(rows) > 1:
            raise DatasetError(row.where, f"film {film} is normal here but has another row; remove one")

    def lesions(width: int, height: int) -> tuple[Lesion, ...]:
        return tuple(_from_top(row, row.lesion, width, height) for row in rows if row.lesion is not None)

    number = int(film.removeprefix("mdb"))
    return FilmEntry(
        id=film,
        patient=f"p{(number + 1) // 2:03d}",
        label=max((row.lesion.label for row in rows if row.lesion), key=CLASSES.index, default=Label.NORMAL),
        file=file,
        where=rows[0].where,
        side="right" if number % 2 else "left",
        view="MLO",
        acquisition="film scan",
        density=rows[0].density,
        lesions=lesions,
        formats=_FORMATS,
    )


def _from_top(row: InfoRow, lesion: Lesion, width: int, height: int) -> Lesion:
    """Convert a lesion's y from the bottom edge to the top edge of the film."""
    if lesion.x is None or lesion.y is None:
        return lesion
    if not (0 <= lesion.x <= width and 0 <= lesion.y <= height):
        raise DatasetError(
            row.where, f"({lesion.x:.0f}, {lesion.y:.0f}) is outside film {row.film}, {width} x {height}"
        )
    return lesion.model_copy(update={"y": height - lesion.y})
