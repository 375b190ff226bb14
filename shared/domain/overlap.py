"""Films of one data set whose patient or pixels a model has seen in another.

A model that is tested on what it was trained on looks better than it is. Patients are the same person if their ids are
equal, or if one stored image file stands under both ids; a person may so have several ids in the set that is tested on.
Stored DICOM films name their patient, so that one exam under two ids is not seen to be one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pydantic import Field

from shared.domain.films import Film
from shared.domain.records import Label, Record


class LeftOut(Record):
    """Films on which a model is not tested, and why; ids are those of the data set that it is tested on."""

    patients_by_id: tuple[str, ...] = Field((), description="patients with the id of one that the model has seen")
    patients_by_film: tuple[str, ...] = Field(
        (), description="other patients with an image file of one that the model has seen"
    )
    repeated_films: tuple[str, ...] = Field((), description="films with the same image file as another film")
    contradictory_films: tuple[str, ...] = Field(
        (), description="films with the same image file as another film and another label"
    )
    films: tuple[str, ...] = Field((), description="all films that are left out")


def films_to_leave_out(films: Sequence[Film], seen: Iterable[Film], *, same_ids: bool) -> LeftOut:
    """Find the films that say nothing about new patients.

    Args:
        films: that a model is to be tested on.
        seen: that it was trained on, or chosen by.
        same_ids: equal ids of patients in both mean the same person. Of generated films they mean nothing.
    """
    trained = list(seen)
    patients = {film.patient for film in films}
    by_id = patients & {film.patient for film in trained} if same_ids else set()
    known = _with_shared_files(films, by_id, {film.sha256 for film in trained})
    unseen = [film for film in films if film.patient not in known]
    labels: dict[str, set[Label]] = defaultdict(set)
    first: dict[str, str] = {}
    for film in unseen:
        labels[film.sha256].add(film.label)
        first.setdefault(film.sha256, film.id)
    contradictory = {film.id for film in unseen if len(labels[film.sha256]) > 1}
    repeated = {film.id for film in unseen if film.id != first[film.sha256]} - contradictory
    of_known = {film.id for film in films if film.patient in known}
    return LeftOut(
        patients_by_id=tuple(sorted(by_id)),
        patients_by_film=tuple(sorted(known - by_id)),
        repeated_films=tuple(sorted(repeated)),
        contradictory_films=tuple(sorted(contradictory)),
        films=tuple(sorted(of_known | repeated | contradictory)),
    )


def _with_shared_files(films: Sequence[Film], known: Iterable[str], sha256: Iterable[str]) -> set[str]:
    """Return the known patients, and all who share an image file with them, with a digest, or with each other so."""
    patients_of: dict[str, set[str]] = defaultdict(set)
    files_of: dict[str, set[str]] = defaultdict(set)
    for film in films:
        patients_of[film.sha256].add(film.patient)
        files_of[film.patient].add(film.sha256)
    found: set[str] = set()
    waiting = set(known) | {patient for digest in sha256 for patient in patients_of.get(digest, ())}
    while waiting:
        patient = waiting.pop()
        found.add(patient)
        waiting |= {other for digest in files_of[patient] for other in patients_of[digest]} - found
    return found
