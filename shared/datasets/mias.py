"""Read the mini-MIAS distribution (Suckling et al. 1994), a folder or archive.

It contains mdbNNN.pgm and Info.txt, which holds free text and one row for each lesion or normal film:

    mdb001 G CIRC B 535 425 197      density, class, severity, x, y from the bottom edge, radius
    mdb003 D NORM                    no lesion
    mdb059 F CIRC B                  a lesion without a position
    mdb216 D CALC M *NOTE 3*         calcifications all over the film

Films 2k-1 (right) and 2k (left) are the two breasts of patient k.
"""

import codecs
import hashlib
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, cast

from shared.domain.films import Film, Lesion, Manifest
from shared.domain.records import CLASSES, Label
from shared.errors import DatasetError, ImageError
from shared.imaging.formats.decode import decode

KINDS = ("CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM")
SYNTHETIC_MARK = "SYNTHETIC FILMS"
_DENSITIES = ("F", "G", "D")
_SEVERITIES = {"B": Label.BENIGN, "M": Label.MALIGNANT}
_FILM_ID = re.compile(r"mdb(\d{3,})", re.IGNORECASE)
# What is, or was meant as, a row: a film's number after whatever an editor put in front of it, or the columns of one.
_LIKE_A_ROW = re.compile(
    rf"[\W_]*mdb[\W_]*\w*\d|.*(^|[\W_])[{''.join(_DENSITIES)}]\W+(NORM|{'|'.join(KINDS)})\b", re.IGNORECASE
)


class ImageFile(NamedTuple):
    """An image of the distribution: film, name in the folder or archive, bytes."""

    film: str
    name: str
    data: bytes


@dataclass(frozen=True)
class Row:
    """One row of Info.txt; y still counts from the bottom edge."""

    where: str
    film: str
    density: Literal["F", "G", "D"]
    lesion: Lesion | None


class Source:
    """The distribution on disk. `images` may be gone through more than once."""

    def __init__(self, path: Path) -> None:
        """Open a folder or archive.

        Raises:
            DatasetError: `path` is neither a folder nor a tar archive, or has no Info.txt.
        """
        self.path = path
        if not path.exists():
            raise DatasetError(str(path), "there is no such folder or archive; check the path")
        with self._undamaged():
            archive = path.is_dir() or tarfile.is_tarfile(path)
        if not archive:
            raise DatasetError(str(path), "is neither a folder nor a tar archive; give the folder or all-mias.tar.gz")
        infos = [(name, data()) for name, data in self._files() if PurePosixPath(name).name.lower() == "info.txt"]
        if len(infos) != 1:
            raise DatasetError(str(path), f"holds {len(infos)} files Info.txt; keep exactly one")
        self.info_name, info = infos[0]
        self.info = _decoded(info)
        self.synthetic = SYNTHETIC_MARK in self.info

    def images(self) -> Iterator[ImageFile]:
        for name, data in self._files():
            stem, _, ending = PurePosixPath(name).name.lower().rpartition(".")
            if ending == "pgm" and _FILM_ID.fullmatch(stem):
                yield ImageFile(stem, name, data())

    def manifest(self, dataset: str, progress: Callable[[int], None] | None = None) -> Manifest:
        """Check the whole distribution and say what it holds; `read_manifest` says more."""
        return read_manifest(self, dataset, progress)

    def _files(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        if self.path.is_dir():
            for file in sorted(self.path.rglob("*")):
                if file.is_file():
                    yield file.relative_to(self.path).as_posix(), file.read_bytes
            return
        with self._undamaged(), tarfile.open(self.path) as archive:
            for member in archive:
                if member.isfile():
                    yield member.name, partial(self._content, archive, member)
            while archive.fileobj and archive.fileobj.read(2**20):
                pass  # a .gz has its checksum at the very end

    def _content(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        with self._undamaged():
            content = archive.extractfile(member)
            return content.read() if content else b""

    @contextmanager
    def _undamaged(self) -> Iterator[None]:
        try:
            yield
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise DatasetError(str(self.path), f"the archive is damaged ({error}); download it again") from error


def parse_info(text: str, name: str = "Info.txt") -> list[Row]:
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


def _row(line: str, where: str) -> Row:
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
    row_density = cast('Literal["F", "G", "D"]', density)
    if kind == "NORM" and len(words) == 3:
        return Row(where, film, row_density, None)
    if kind not in KINDS:
        expected = ", ".join(("NORM", *KINDS))
        raise DatasetError(where, f"unknown class '{' '.join(words[2:])}' of film {film}; expected one of {expected}")
    severity, place = words[3:4], words[4:]
    if not severity or severity[0] not in _SEVERITIES:
        raise DatasetError(where, f"unknown severity '{''.join(severity)}' of film {film}; expected B or M")
    label = _SEVERITIES[severity[0]]
    if not place or place[0].startswith("*"):
        return Row(where, film, row_density, Lesion(kind=kind, label=label))
    if len(place) != 3 or not all(number.isdecimal() for number in place) or place[2] == "0":
        raise DatasetError(where, f"'{' '.join(place)}' of film {film} is not x, y and radius in pixels")
    x, y, radius = (float(number) for number in place)
    return Row(where, film, row_density, Lesion(kind=kind, label=label, x=x, y=y, radius=radius))


def read_manifest(source: Source, dataset: str, progress: Callable[[int], None] | None = None) -> Manifest:
    """Check the complete distribution, including every image, and describe it.

    Args:
        progress: called with the number of images checked so far.

    Raises:
        DatasetError: names the file, and the line if there is one, of the first error.
    """
    rows = {film: list(group) for film, group in groupby(sorted(_rows(source), key=_film_of), key=_film_of)}
    films: dict[str, Film] = {}
    names: dict[str, str] = {}
    for count, image in enumerate(source.images(), 1):
        if image.film in names:
            raise DatasetError(image.name, f"film {image.film} has a second image, {names[image.film]}; remove one")
        if image.film not in rows:
            raise DatasetError(
                image.name, f"film {image.film} has no row in {source.info_name}; add the row or remove the film"
            )
        names[image.film] = image.name
        films[image.film] = _film(image, rows[image.film])
        if progress:
            progress(count)
    for film, of_film in rows.items():
        if film not in films:
            raise DatasetError(of_film[0].where, f"film {film} has no image; add {film}.pgm or remove the row")
    ordered = tuple(films[film] for film in sorted(films))
    return Manifest(dataset=dataset, synthetic=source.synthetic, films=ordered)


def _rows(source: Source) -> list[Row]:
    rows = parse_info(source.info, source.info_name)
    if not rows:
        raise DatasetError(source.info_name, "holds no row such as 'mdb001 G CIRC B 535 425 197'")
    return rows


def _film_of(row: Row) -> str:
    return row.film


def _film(image: ImageFile, rows: list[Row]) -> Film:
    try:
        decoded = decode(image.data)
    except ImageError as error:
        raise DatasetError(image.name, str(error)) from error
    height, width = decoded.pixels.shape
    lesions = []
    for row in rows:
        if row.density != rows[0].density:
            raise DatasetError(row.where, f"film {image.film} has density {rows[0].density} at {rows[0].where}")
        if row.lesion is None and len(rows) > 1:
            raise DatasetError(row.where, f"film {image.film} is normal here but has another row; remove one")
        if row.lesion is not None:
            lesions.append(_from_top(row, row.lesion, width, height))
    number = int(image.film.removeprefix("mdb"))
    return Film(
        id=image.film,
        patient=f"p{(number + 1) // 2:03d}",
        side="right" if number % 2 else "left",
        density=rows[0].density,
        label=max((lesion.label for lesion in lesions), key=CLASSES.index, default=Label.NORMAL),
        lesions=tuple(lesions),
        sha256=hashlib.sha256(image.data).hexdigest(),
        width=width,
        height=height,
        bits=decoded.bits,
    )


def _from_top(row: Row, lesion: Lesion, width: int, height: int) -> Lesion:
    """Convert a lesion's y from the bottom edge to the top edge of the film."""
    if lesion.x is None or lesion.y is None:
        return lesion
    if not (0 <= lesion.x <= width and 0 <= lesion.y <= height):
        raise DatasetError(
            row.where, f"({lesion.x:.0f}, {lesion.y:.0f}) is outside film {row.film}, {width} x {height}"
        )
    return lesion.model_copy(update={"y": height - lesion.y})
