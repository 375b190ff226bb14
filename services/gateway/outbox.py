"""The outbox: a prediction whose results are not yet stored everywhere, so that it is made once.

It holds the answer and no value of a header, since films are named by hashes. Objects that are built again of it and
the films have the same bytes.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from pydantic import AwareDatetime

from services.gateway.eligibility import Refusal
from services.gateway.films import FilmHeader, film_set
from services.gateway.interfaces import ListedInstance
from services.gateway.objects.uids import kind_of
from services.gateway.report import KINDS, Predecessor, Report, ResultKind, join
from shared.api.exams import ExamPrediction
from shared.domain.records import Record
from shared.errors import ObjectNotFound, ObjectUnreadable
from shared.store import layout
from shared.store.documents import document, read_document
from shared.store.interface import ObjectStore

_FIRST_SERIES = 9001
_log = logging.getLogger("mammostack.gateway")


class StoredRefusal(Record):
    """Reason why a film was not sent."""

    code: str
    detail: str


class StoredPredecessor(Record):
    """The result that a new one replaces; its UIDs were made here and are hashes."""

    sop_class: str
    sop_uid: str
    series_uid: str
    instance_number: int


class StoredPrediction(Record):
    """The prediction of an exam, and to whom its results were confirmed.

    `sent` are the hashes of the films in the order of the answer; `refused` are those of the others.
    """

    schema_number = 2

    sent: tuple[str, ...]
    refused: dict[str, StoredRefusal]
    answer: ExamPrediction
    operating_point: str
    made: AwareDatetime
    first_series: int
    series_numbers: dict[ResultKind, int]
    predecessors: dict[ResultKind, StoredPredecessor]
    confirmed: tuple[str, ...] = ()

    @property
    def films(self) -> tuple[str, ...]:
        """Hashes of the films that the prediction is about."""
        return (*self.sent, *self.refused)

    @property
    def film_set(self) -> str:
        """Their digest."""
        return film_set(self.films)

    def report(self, headers: Mapping[str, FilmHeader]) -> Report:
        """Return the report of the prediction; `headers` are its films by their hashes."""
        refusals = {headers[film].sop_uid: Refusal(why.code, why.detail) for film, why in self.refused.items()}
        films = join(list(headers.values()), refusals, [headers[film].sop_uid for film in self.sent], self.answer)
        return Report(
            films,
            self.answer,
            self.operating_point,
            self.made,
            self.first_series,
            self.series_numbers,
            {kind: Predecessor(**earlier.model_dump()) for kind, earlier in self.predecessors.items()},
        )


def new_prediction(
    sent: Sequence[str],
    refused: Mapping[str, Refusal],
    answer: ExamPrediction,
    operating_point: str,
    listed: Sequence[ListedInstance],
    series_of_films: Sequence[int],
) -> StoredPrediction:
    """Return the record of a prediction that was just made.

    Args:
        listed: objects of the study, among them earlier results.
        series_of_films: numbers of the films' series.
    """
    earlier: dict[ResultKind, ListedInstance] = {}
    for instance in listed:
        kind = kind_of(instance.sop_uid)
        if kind is not None and (kind not in earlier or earlier[kind].instance_number <= instance.instance_number):
            earlier[kind] = instance
    others = [each.series_number for each in listed if kind_of(each.sop_uid) is None]
    return StoredPrediction(
        sent=tuple(sent),
        refused={film: StoredRefusal(code=why.code, detail=why.detail) for film, why in refused.items()},
        answer=answer,
        operating_point=operating_point,
        made=datetime.now(UTC).replace(microsecond=0),
        first_series=max([_FIRST_SERIES, *(number + 1 for number in (*others, *series_of_films))]),
        series_numbers={kind: each.series_number for kind, each in earlier.items() if each.series_number},
        predecessors={
            kind: StoredPredecessor(
                sop_class=each.sop_class,
                sop_uid=each.sop_uid,
                series_uid=each.series_uid,
                instance_number=max(1, each.instance_number),
            )
            for kind, each in earlier.items()
            if kind in KINDS[:2]
        },
    )


def read_prediction(store: ObjectStore, study: str) -> StoredPrediction | None:
    """Return the prediction of a study, given by its hash, that is not stored everywhere yet.

    One that can't be read is as none: the exam is predicted again, and the new prediction replaces it.

    Raises:
        ObjectOfLaterRelease: a later release made it; it waits for that release.
    """
    try:
        return read_document(store, layout.gateway_result(study), StoredPrediction)
    except ObjectNotFound:
        return None
    except ObjectUnreadable as error:
        _warn_once(study, str(error))
        return None


@lru_cache(maxsize=1000)
def _warn_once(study: str, reason: str) -> None:
    """Log that a prediction can't be read; once in a process, since it is read at every look until it is replaced."""
    _log.warning("a stored prediction is ignored", extra={"exam": study, "reason": reason})


def write_prediction(store: ObjectStore, study: str, prediction: StoredPrediction) -> None:
    """Store a prediction in place of an earlier one; the caller holds the lease of the study."""
    store.put(layout.gateway_result(study), document(prediction))


def waiting_studies(store: ObjectStore) -> set[str]:
    """List the studies, by their hashes, whose results are not stored everywhere yet."""
    prefix = layout.gateway_outbox()
    return {key.removeprefix(prefix).removesuffix(".json") for key in store.list(prefix)}
