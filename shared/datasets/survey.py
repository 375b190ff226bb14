"""A dry run of ingestion: counts, and everything that is wrong, without decoding DICOM pixels or storing a byte."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.datasets.entries import FilmEntry, FilmSource, lesions_inside, settle
from shared.datasets.problems import SourceProblem
from shared.errors import DatasetError, ImageError
from shared.imaging.formats.decode import read_header

COUNTED = ("label", "view", "side", "group", "split")


@dataclass
class Survey:
    """What a data set holds: films, patients and exams, films by label, view and so on, and what is wrong."""

    films: int = 0
    patients: int = 0
    exams: int = 0
    left_out: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in COUNTED})
    problems: list[SourceProblem] = field(default_factory=list)


@dataclass(frozen=True)
class _Seen:
    """A film as row and header describe it together."""

    entry: FilmEntry
    sha256: str
    side: str
    view: str | None


def survey(source: FilmSource, progress: Callable[[int], None] | None = None) -> Survey:
    """Read every row of a data set, and every file once.

    Raises:
        DatasetError: the data set can't be read at all.
    """
    found, films = Survey(), list[_Seen]()
    for count, entry in enumerate(source.entries(), 1):
        try:
            film, problems = _seen(source, entry)
            films.append(film)
            found.problems += problems
        except DatasetError as error:
            found.problems.append(SourceProblem("image can't be used", error.where, str(error).partition(": ")[2]))
        if progress:
            progress(count)
    for film in films:
        values: dict[str, Any] = {"label": film.entry.label, "view": film.view, "side": film.side}
        values |= {"group": film.entry.group, "split": film.entry.official_split}
        for name, value in values.items():
            found.counts[name][str(value or "unknown")] += 1
    found.films, found.patients = len(films), len({film.entry.patient for film in films})
    found.exams = len({(film.entry.patient, film.entry.exam) for film in films})
    found.left_out = getattr(source, "left_out", 0)
    found.problems += [*source.problems, *_between_films(films)]
    return found


def _seen(source: FilmSource, entry: FilmEntry) -> tuple[_Seen, tuple[SourceProblem, ...]]:
    data = source.files.read(entry.file)
    try:
        header = read_header(source.stored(entry, data))
    except ImageError as error:
        raise DatasetError(entry.file.name, str(error)) from error
    settled, disagreements = settle(entry, header, header_wins=source.header_wins)
    _, outside = lesions_inside(entry, *header.full_size)
    digest = hashlib.sha256(data).hexdigest()
    return _Seen(entry, digest, settled["side"], settled["view"]), (*disagreements, *outside)


def _between_films(films: list[_Seen]) -> Iterator[SourceProblem]:
    """Yield what shows only when films are compared with each other."""
    groups: dict[str, dict[Any, list[_Seen]]] = {
        name: defaultdict(list) for name in ("image", "view", "breast", "split")
    }
    for film in films:
        entry = film.entry
        groups["image"][film.sha256].append(film)
        groups["view"][entry.patient, entry.exam, film.side, film.view].append(film)
        groups["breast"][entry.patient, entry.exam, film.side].append(film)
        if entry.official_split:
            groups["split"][entry.patient].append(film)
    for same in groups["image"].values():
        for film in same[1:]:
            yield SourceProblem(
                "image twice", film.entry.where, f"its file has the bytes of that of {same[0].entry.where}"
            )
    for same in groups["view"].values():
        for film in same[1:] if same[0].view else ():
            first = same[0].entry.where
            yield SourceProblem(
                "view repeated", film.entry.where, f"{film.side} {film.view} of the same exam as {first}"
            )
    for same in groups["breast"].values():
        if len({film.entry.label for film in same}) > 1:
            labels = ", ".join(sorted({film.entry.label for film in same}))
            yield SourceProblem("labels that differ", same[0].entry.where, f"films of one breast are {labels}")
    for same in groups["split"].values():
        if len({film.entry.official_split for film in same}) > 1:
            yield SourceProblem(
                "patient in both splits", same[0].entry.where, "a patient has films in training and test"
            )
