"""Units of ingestion: some films, each read once, checked, and stored; what is known of them is the unit's last object.

A unit is done when that object is there and the files are as it found them. So an ingest that is killed is continued by
the next one, here or by workers. Films lie below the id of their ingest, by their id and digest: two ingests at once,
of other files or of changed ones, never write to the same place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from shared.datasets.entries import FilmEntry, FilmSource, check_film, read_film
from shared.datasets.problems import ProblemKind, SourceProblem
from shared.digests import sha256_hex
from shared.domain.films import Dataset, Film
from shared.domain.records import Record
from shared.errors import DatasetError, ObjectNotFound, ObjectUnreadable
from shared.store import layout
from shared.store.documents import document, read_document
from shared.store.interface import ObjectStore

UNIT_FILMS = 16
_ENDINGS = {"PGM": "pgm", "PNG": "png", "JPEG": "jpg", "TIFF": "tif", "DICOM": "dcm"}


class Remark(Record):
    """What is wrong with a film, by its place among the entries: no file and no row is named in the store."""

    entry: int
    kind: ProblemKind
    what: str


class UnitResult(Record):
    """What is known of the films of a unit; `files` tells whether their files were changed since."""

    schema_number = 2

    files: tuple[str, ...]
    films: tuple[Film, ...]
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Ingestion:
    """One ingest: all entries of a source in order, and the films of the data set that are stored already."""

    source: FilmSource
    dataset: str
    entries: tuple[FilmEntry, ...]
    known: Mapping[str, tuple[Film, str]]
    """Stored films by id, and the key of each."""
    present: frozenset[str]
    """Keys of all stored films."""
    stored: Dataset | None = None
    """The data set as it is stored."""
    strict: bool = False

    @cached_property
    def id(self) -> str:
        """Digest of what decides the outcome before any file is read."""
        parts = [self.dataset, str(self.source.files.path.resolve()), self.source.revision]
        for entry in self.entries:
            parts += [entry.id, entry.patient, entry.label, entry.file.name]
        return sha256_hex("\n".join(parts).encode("utf-8", "backslashreplace"))

    @property
    def units(self) -> range:
        """The numbers of all units."""
        return range(-(-len(self.entries) // UNIT_FILMS))

    def unit_key(self, unit: int) -> str:
        """Return the key of the object that says that a unit is done."""
        return layout.ingest_unit(self.dataset, self.id, f"{unit:06d}")

    def of_unit(self, unit: int) -> Sequence[FilmEntry]:
        """Return the entries of a unit."""
        return self.entries[unit * UNIT_FILMS : (unit + 1) * UNIT_FILMS]


def ingestion_of(
    source: FilmSource,
    name: str,
    stored: tuple[Dataset, Sequence[Film]] | None,
    present: frozenset[str],
    *,
    strict: bool = False,
) -> Ingestion:
    """Read the entries of a source, by their ids.

    Raises:
        DatasetError: the source is not a data set.
    """
    entries = tuple(sorted(source.entries(), key=lambda entry: entry.id))
    known = {film.id: (film, film_key(stored[0], film)) for film in stored[1]} if stored else {}
    return Ingestion(source, name, entries, known, present, stored[0] if stored else None, strict)


def film_key(dataset: Dataset, film: Film) -> str:
    """Return the key of a film of an ingested data set."""
    if film.key is not None:
        return f"{layout.raw(dataset.dataset)}{film.key}"
    return layout.raw_film(dataset.dataset, dataset.content, film.id)


def finished_unit(store: ObjectStore, ingestion: Ingestion, unit: int, *, whole: bool = True) -> UnitResult | None:
    """Return the result of a unit if it is done and no file was changed since.

    Args:
        whole: only if all its films can be used.

    Raises:
        ObjectOfLaterRelease: only a later release can read it.
    """
    try:
        found = read_document(store, ingestion.unit_key(unit), UnitResult)
    except (ObjectNotFound, ObjectUnreadable):
        return None
    entries = ingestion.of_unit(unit)
    return found if found.files == _files(entries) and (not whole or len(found.films) == len(entries)) else None


def do_unit(store: ObjectStore, ingestion: Ingestion, unit: int) -> tuple[UnitResult, int]:
    """Read, check and store the films of a unit.

    Returns:
        What is known of them, and how many were written.

    Raises:
        DatasetError: a film can't be used, and the ingestion is strict.
    """
    films, remarks, written = [], [], 0
    entries = ingestion.of_unit(unit)
    for number, entry in enumerate(entries, unit * UNIT_FILMS):
        try:
            film, problems, new = _ingest_film(store, ingestion, entry)
        except DatasetError as error:
            if ingestion.strict:
                raise
            problem = str(error).removeprefix(f"{error.where}: ")
            remarks.append(Remark(entry=number, kind="image can't be used", what=problem))
            continue
        films.append(film)
        written += new
        remarks += [Remark(entry=number, kind=problem.kind, what=problem.what) for problem in problems]
    result = UnitResult(files=_files(entries), films=tuple(films), remarks=tuple(remarks))
    store.put(ingestion.unit_key(unit), document(result))
    return result, written


def problems_of(ingestion: Ingestion, results: Sequence[UnitResult]) -> Iterator[SourceProblem]:
    """Yield what is wrong with single films, with the file or row of each."""
    for result in results:
        for remark in result.remarks:
            entry = ingestion.entries[remark.entry]
            where = entry.file.name if remark.kind == "image can't be used" else entry.where
            yield SourceProblem(remark.kind, where, remark.what)


def _ingest_film(
    store: ObjectStore, ingestion: Ingestion, entry: FilmEntry
) -> tuple[Film, tuple[SourceProblem, ...], bool]:
    data = read_film(ingestion.source, entry)
    sha256 = sha256_hex(data)
    stored, place = ingestion.known.get(entry.id, (None, ""))
    same = stored if stored and stored.sha256 == sha256 else None
    checked = check_film(entry, data, header_wins=ingestion.source.header_wins, known_bits=same.bits if same else None)
    film = checked.film
    if same is None and _is_at_its_old_place(store, ingestion, film.id, sha256):
        return film, checked.problems, False
    if same is None:
        place = layout.ingest_film(ingestion.dataset, ingestion.id, film.id, sha256, _ENDINGS[film.format])
    new = place not in ingestion.present
    if new:
        store.put(place, data)
    below = layout.raw(ingestion.dataset)
    key = same.key if same else place.removeprefix(below)
    return film.model_copy(update={"key": key}), checked.problems, new


def _is_at_its_old_place(store: ObjectStore, ingestion: Ingestion, film: str, sha256: str) -> bool:
    """Tell whether a film of which no shard speaks any more lies where its id alone says; so it was before 0.2."""
    if ingestion.known or ingestion.stored is None:
        return False
    place = layout.raw_film(ingestion.dataset, ingestion.stored.content, film)
    return place in ingestion.present and sha256_hex(store.get(place)) == sha256


def _files(entries: Sequence[FilmEntry]) -> tuple[str, ...]:
    return tuple(f"{entry.file.size}/{entry.file.modified}" for entry in entries)
