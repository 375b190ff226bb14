"""Entries: what a data set says about each film, and the film's record that follows once the image is read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from shared.datasets.files import SourceFile, SourceFiles
from shared.datasets.problems import SourceProblem
from shared.digests import sha256_hex
from shared.domain.films import Acquisition, Density, Film, ImageFormat, Manifest, Side
from shared.domain.lesions import Lesion
from shared.domain.records import CLASSES, Label
from shared.domain.terms import Terms
from shared.errors import DatasetError, ImageError
from shared.imaging.formats.decode import decode, read_header
from shared.imaging.image import Image, ImageHeader

LEAST_EDGE = 1024
"""Pixels of the shorter edge to which a large image is reduced while it is decoded for a check."""


def _no_lesions(_width: int, _height: int) -> tuple[Lesion, ...]:
    return ()


@dataclass(frozen=True)
class FilmEntry:
    """A film as its data set describes it, before its image is read. None: the data set doesn't say.

    `where` names the film's row, for messages. `lesions` returns the lesions on a film of a width and a height; it
    raises DatasetError for one outside it. `formats` are those that the film may have, None any.
    """

    id: str
    patient: str
    label: Label
    file: SourceFile
    where: str
    side: Side | None = None
    view: str | None = None
    exam: str | None = None
    acquisition: Acquisition | None = None
    vendor: str | None = None
    density: Density | None = None
    group: str | None = None
    official_split: Literal["training", "test"] | None = None
    lesions: Callable[[int, int], tuple[Lesion, ...]] = field(default=_no_lesions, compare=False)
    formats: frozenset[ImageFormat] | None = None


class FilmSource(Protocol):
    """A data set on disk: an iterator of entries that can be gone through more than once."""

    files: SourceFiles
    revision: str
    """Digest of its tables and of how they are read."""
    synthetic: bool
    terms: Terms | None
    labelling: str | None
    header_wins: bool
    problems: list[SourceProblem]

    def stored(self, entry: FilmEntry, data: bytes) -> bytes:
        """Return the bytes of a film's file as they are stored, without anything of the patient.

        Raises:
            ImageError: the film can't be read, or may not be stored.
        """

    def entries(self) -> Iterator[FilmEntry]:
        """Yield every film; what is wrong with the data set as a whole is found at the end at the latest.

        Raises:
            DatasetError: naming the file, and the line if there is one, of the first error.
        """


class Checked(NamedTuple):
    """A film's record, and what had to be settled for it."""

    film: Film
    problems: tuple[SourceProblem, ...] = ()


def check_film(entry: FilmEntry, data: bytes, *, header_wins: bool = False, known_bits: int | None = None) -> Checked:
    """Decode the image of a film, reduced if it is large, and make the film's record.

    Args:
        known_bits: depth of a file that was decoded before; its header is enough then.

    Raises:
        DatasetError: the image can't be used, or contradicts its row.
    """
    try:
        decoded = _decoded(data) if known_bits is None else None
        image = decoded or read_header(data)
    except ImageError as error:
        raise DatasetError(entry.file.name, str(error)) from error
    if entry.formats and image.format not in entry.formats:
        raise DatasetError(
            entry.file.name,
            f"is {image.format}, from which this layout would make up patient and side; ingest it by a table (--table)",
        )
    facts, disagreements = settle(entry, image, header_wins=header_wins)
    width, height = image.full_size
    lesions, outside = lesions_inside(entry, width, height)
    worst = max((lesion.label for lesion in lesions), key=CLASSES.index, default=entry.label)
    if CLASSES.index(worst) > CLASSES.index(entry.label):
        raise DatasetError(
            entry.where, f"film {entry.id} is {entry.label} here but has a lesion that is {worst}; correct one"
        )
    film = Film(
        **facts,
        id=entry.id,
        patient=entry.patient,
        exam=entry.exam,
        density=entry.density,
        label=entry.label,
        group=entry.group,
        official_split=entry.official_split,
        lesions=lesions,
        sha256=sha256_hex(data),
        width=width,
        height=height,
        bits=decoded.bits if decoded else known_bits,
        spacing=image.spacing,
        format=image.format,
    )
    return Checked(film, (*disagreements, *outside))


def read_film(source: FilmSource, entry: FilmEntry) -> bytes:
    """Read a film's file as it is to be stored.

    Raises:
        DatasetError: it can't be read, or may not be stored.
    """
    try:
        return source.stored(entry, source.files.read(entry.file))
    except ImageError as error:
        raise DatasetError(entry.file.name, str(error)) from error


def read_manifest(source: FilmSource, dataset: str, progress: Callable[[int], None] | None = None) -> Manifest:
    """Check every film of a data set and describe it.

    Args:
        progress: called with the number of images checked so far.

    Raises:
        DatasetError: names the file, and the line if there is one, of the first error.
    """
    films = []
    for count, entry in enumerate(source.entries(), 1):
        films.append(check_film(entry, read_film(source, entry), header_wins=source.header_wins).film)
        if progress:
            progress(count)
    return manifest_of(source, dataset, films)


def manifest_of(source: FilmSource, dataset: str, films: list[Film]) -> Manifest:
    """Return the manifest of films of a source."""
    return Manifest(
        dataset=dataset,
        synthetic=source.synthetic,
        terms=source.terms,
        labelling=source.labelling,
        films=tuple(sorted(films, key=lambda film: film.id)),
    )


def _decoded(data: bytes) -> Image:
    # a large film is decoded smaller where its codec can; a small one comes as it is
    return decode(data, LEAST_EDGE) if len(data) > LEAST_EDGE**2 else decode(data)


def lesions_inside(entry: FilmEntry, width: int, height: int) -> tuple[tuple[Lesion, ...], tuple[SourceProblem, ...]]:
    """Return the lesions of a film, their outlines cut at its edges, and which of them reached beyond."""
    lesions, problems = [], []
    for lesion in entry.lesions(width, height):
        inside = tuple((min(max(x, 0), width), min(max(y, 0), height)) for x, y in lesion.outline or ())
        if inside == (lesion.outline or ()):
            lesions.append(lesion)
            continue
        gone = len(inside) > 1 and (len({x for x, _ in inside}) == 1 or len({y for _, y in inside}) == 1)
        lesions.append(lesion.model_copy(update={"outline": None if gone else inside}))
        what = "lies outside the film and has no place now" if gone else "reaches outside the film and was cut"
        problems.append(SourceProblem("lesion outside the image", entry.where, f"a lesion of film {entry.id} {what}"))
    return tuple(lesions), tuple(problems)


def settle(
    entry: FilmEntry, image: Image | ImageHeader, *, header_wins: bool
) -> tuple[dict[str, Any], tuple[SourceProblem, ...]]:
    """Return what table and header say together, and where they disagree.

    Raises:
        DatasetError: neither says which side it is.
    """
    stated = {"L": "left", "R": "right"}.get(image.laterality or "")
    said: dict[str, tuple[str | None, str | None]] = {
        "side": (entry.side, stated),
        "view": (entry.view, image.view),
    }
    settled: dict[str, Any] = {}
    disagreements = []
    for fact, (by_table, by_header) in said.items():
        first, second = (by_header, by_table) if header_wins else (by_table, by_header)
        settled[fact] = first or second
        if by_table and by_header and by_table != by_header:
            winner = "header" if header_wins else "table"
            what = f"{fact} {by_table} by the table, {by_header} by the header; the {winner} counts"
            disagreements.append(SourceProblem("header disagrees", entry.where, what))
    if settled["side"] is None:
        raise DatasetError(entry.where, f"film {entry.id} has no side, in the table or in its header; add a column")
    settled["acquisition"] = entry.acquisition or image.metadata.acquisition
    settled["vendor"] = entry.vendor or image.metadata.vendor
    return settled, tuple(disagreements)
