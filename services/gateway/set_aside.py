"""Exams that are set aside: why, and for which films. A new film gives an exam a new chance."""

from collections.abc import Collection, Iterator

from services.gateway.films import film_set
from services.gateway.tickets import KIND, RUN
from shared.domain.records import Record
from shared.errors import ObjectNotFound, ObjectOfLaterRelease, ObjectUnreadable
from shared.queue.attempts import code_of, text_of
from shared.queue.clock import now
from shared.store import layout
from shared.store.documents import document, read_document
from shared.store.interface import ObjectStore


class SetAsideExam(Record):
    """Reason, without values of headers.

    Attributes:
        film_set: digest of the films that were tried.
        films: their hashes; empty in notes of earlier versions.
    """

    schema_number = 2

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
    store.put(layout.failure(RUN, KIND, study), document(found, indent=1))
    return found


def is_set_aside(store: ObjectStore, study: str, films: Collection[str]) -> bool:
    """Return True if the exam was given up and none of these films is new.

    They may be a part of those that were tried: inbox and archive are looked at one by one.
    """
    try:
        noted = read_document(store, layout.failure(RUN, KIND, study), SetAsideExam)
    except (ObjectNotFound, ObjectUnreadable):  # one that can't be read is replaced, or the exam has its results
        return False
    except ObjectOfLaterRelease:  # it waits for that release
        return True
    return set(films) <= set(noted.films) if noted.films else film_set(films) == noted.film_set


def studies_set_aside(store: ObjectStore) -> set[str]:
    """List the studies, by their hashes, of exams that are set aside."""
    prefix = layout.failures(RUN, KIND)
    return {key.removeprefix(prefix).removesuffix(".json") for key in store.list(prefix)}


def all_set_aside(store: ObjectStore) -> Iterator[tuple[str, SetAsideExam]]:
    """Yield the exams that are set aside, by the hashes of their studies."""
    for study in sorted(studies_set_aside(store)):
        try:
            noted = read_document(store, layout.failure(RUN, KIND, study), SetAsideExam)
        except (ObjectUnreadable, ObjectOfLaterRelease) as error:
            noted = SetAsideExam(film_set="", code=error.code, message=str(error), when="")
        yield study, noted


def take_back(store: ObjectStore, study: str) -> None:
    """Forget that an exam was set aside."""
    store.delete(layout.failure(RUN, KIND, study))
