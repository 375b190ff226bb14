"""Exams that are set aside: why, and for which films. A new film gives an exam a new chance."""

from collections.abc import Collection, Iterator

from services.gateway.films import film_set
from services.gateway.tickets import KIND, RUN
from shared.domain.records import Record
from shared.errors import ObjectNotFound
from shared.queue.attempts import code_of, text_of
from shared.queue.clock import now
from shared.store import layout
from shared.store.interface import ObjectStore


class SetAsideExam(Record):
    """Reason, without values of headers.

    Attributes:
        film_set: digest of the films that were tried.
        films: their hashes; empty in notes of earlier versions.
    """

    film_set: str
    films: tuple[str, ...] = ()
    code: str
    message: str
    when: str


def set_aside(store: ObjectStore, study: str, films: Collection[str], error: Exception) -> SetAsideExam:
    """Note why an exam with these films, given by their hashes, is given up."""
    found = SetAsideExam(
        film_set=film_set(films), films=tuple(sorted(films)), code=code_of(error), message=text_of(error), when=now()
    )
    store.put(layout.failure(RUN, KIND, study), found.model_dump_json(indent=1).encode())
    return found


def is_set_aside(store: ObjectStore, study: str, films: Collection[str]) -> bool:
    """Return True if the exam was given up and none of these films is new.

    They may be a part of those that were tried: inbox and archive are looked at one by one.
    """
    try:
        noted = SetAsideExam.model_validate_json(store.get(layout.failure(RUN, KIND, study)))
    except ObjectNotFound:
        return False
    return set(films) <= set(noted.films) if noted.films else film_set(films) == noted.film_set


def studies_set_aside(store: ObjectStore) -> set[str]:
    """List the studies, by their hashes, of exams that are set aside."""
    prefix = layout.failures(RUN, KIND)
    return {key.removeprefix(prefix).removesuffix(".json") for key in store.list(prefix)}


def all_set_aside(store: ObjectStore) -> Iterator[tuple[str, SetAsideExam]]:
    """Yield the exams that are set aside, by the hashes of their studies."""
    for study in sorted(studies_set_aside(store)):
        yield study, SetAsideExam.model_validate_json(store.get(layout.failure(RUN, KIND, study)))


def take_back(store: ObjectStore, study: str) -> None:
    """Forget that an exam was set aside."""
    store.delete(layout.failure(RUN, KIND, study))
