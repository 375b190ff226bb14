"""Exams that are set aside: why, and for which films. A new film gives an exam a new chance."""

from collections.abc import Iterator

from services.gateway.tickets import KIND, RUN
from shared.domain.records import Record
from shared.errors import ObjectNotFound
from shared.queue.attempts import code_of, text_of
from shared.queue.clock import now
from shared.store import layout
from shared.store.interface import ObjectStore


class SetAsideExam(Record):
    """Reason, without values of headers; `film_set` is the digest of the films that were tried."""

    film_set: str
    code: str
    message: str
    when: str


def set_aside(store: ObjectStore, study: str, film_set: str, error: Exception) -> SetAsideExam:
    """Note why an exam is given up."""
    found = SetAsideExam(film_set=film_set, code=code_of(error), message=text_of(error), when=now())
    store.put(layout.failure(RUN, KIND, study), found.model_dump_json(indent=1).encode())
    return found


def is_set_aside(store: ObjectStore, study: str, film_set: str) -> bool:
    """Return True if the exam was given up with exactly these films."""
    try:
        return SetAsideExam.model_validate_json(store.get(layout.failure(RUN, KIND, study))).film_set == film_set
    except ObjectNotFound:
        return False


def all_set_aside(store: ObjectStore) -> Iterator[tuple[str, SetAsideExam]]:
    """Yield the exams that are set aside, by the hashes of their studies."""
    prefix = layout.failures(RUN, KIND)
    for key in list(store.list(prefix)):
        yield key.removeprefix(prefix).removesuffix(".json"), SetAsideExam.model_validate_json(store.get(key))


def take_back(store: ObjectStore, study: str) -> None:
    """Forget that an exam was set aside."""
    store.delete(layout.failure(RUN, KIND, study))
