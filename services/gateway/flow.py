"""One exam from its films to stored results; everything is read anew, so that it may be begun again at any point.

Films are those of the archive and of the inbox together. What is done is read from the archive, or else from the first
destination that can be asked: a result about exactly these films, whatever model made it.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Literal

from services.gateway.eligibility import Implants, Refusal, is_complete, refusal_of
from services.gateway.films import FilmHeader, film_set, hashed, read_header
from services.gateway.inbox import is_wanted, received_films
from services.gateway.interfaces import Archive, Destination, ListedInstance, Rejected
from services.gateway.objects.build import ResultObject, build_objects
from services.gateway.objects.uids import has_results
from services.gateway.outbox import StoredPrediction, new_prediction, read_prediction, write_prediction
from services.gateway.report import ResultKind
from shared import metrics
from shared.api.exams import MOST_FILMS, ExamPrediction
from shared.domain.records import Record
from shared.errors import ObjectNotFound, ObjectUnreadable, ServiceUnavailable
from shared.store import layout
from shared.store.documents import document, read_document
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.gateway")
_DAY = timedelta(days=1)
"""Margin for an exam that was listed before midnight and predicted after it."""

Outcome = Literal["stored", "there already", "no film", "gone"]

Predict = Callable[[Sequence[bytes]], ExamPrediction]
"""Sends films to the inference service. Raises ServiceUnavailable, or another MammoError that sets the exam aside."""


class ForgottenExam(Record):
    """The keys of an exam's films, while they are deleted."""

    schema_number = 2

    keys: tuple[str, ...]


@dataclass(frozen=True)
class FlowOptions:
    """Options of the flow: which objects are made of an exam, and how."""

    kinds: tuple[ResultKind, ...]
    operating_point: str = "screening"
    implants: Implants = "skip"


class Exam:
    """Films and earlier results of a study, given by its hash; read when they are first asked for."""

    def __init__(
        self,
        study: str,
        store: ObjectStore,
        archive: Archive | None,
        destinations: Sequence[Destination],
        study_uid: str | None = None,
    ) -> None:
        self.study, self._known_uid = study, study_uid
        self._store, self._archive, self._destinations = store, archive, destinations
        self._data: dict[str, bytes] = {}
        self._headers: dict[str, FilmHeader] = {}

    @cached_property
    def inbox(self) -> dict[str, str]:
        """Keys of the films in the inbox, by their hashes."""
        return received_films(self._store, self.study)

    @cached_property
    def study_uid(self) -> str | None:
        """UID of the study; None if neither inbox nor archive has it.

        The archive is asked for recent studies, or for those that were recent when a waiting prediction was made.
        """
        if self._known_uid is not None:
            return self._known_uid
        for film in self.inbox:
            return self.header(film).study_uid
        if self._archive is not None:
            waiting = read_prediction(self._store, self.study)
            for entry in self._archive.recent_studies(waiting.made - _DAY if waiting else None):
                if hashed(entry.study_uid) == self.study:
                    return entry.study_uid
        return None

    @cached_property
    def listed(self) -> list[ListedInstance]:
        """Objects of the study that the archive, or else a destination, lists."""
        if self.study_uid is None:
            return []
        away: ServiceUnavailable | None = None
        for source in [self._archive] if self._archive else self._destinations:
            try:
                found = source.instances(self.study_uid)
            except ServiceUnavailable as error:
                away = error
                continue
            if found is not None:
                return found
        if away is not None:
            raise away
        return []

    @cached_property
    def archived(self) -> dict[str, ListedInstance]:
        """Films in the archive, by their hashes."""
        if self._archive is None:
            return {}
        return {hashed(each.sop_uid): each for each in self.listed if is_wanted(each.sop_class)}

    @cached_property
    def films(self) -> tuple[str, ...]:
        """Hashes of all films, in a fixed order."""
        return tuple(sorted({*self.archived, *self.inbox}))

    def data(self, film: str) -> bytes:
        """Return a film's file, from the inbox or the archive."""
        if film not in self._data:
            self._data[film] = self._read(film)
        return self._data[film]

    def header(self, film: str) -> FilmHeader:
        """Return a film's header."""
        if film not in self._headers:
            self._headers[film] = read_header(self.data(film))
        return self._headers[film]

    @cached_property
    def sop_uids(self) -> tuple[str, ...]:
        """UIDs of all films, without reading those that the archive lists."""
        return tuple(
            self.archived[film].sop_uid if film in self.archived else self.header(film).sop_uid for film in self.films
        )

    def has_results(self, kinds: Collection[ResultKind]) -> bool:
        """Return True if there are results of all kinds about exactly these films."""
        return has_results([each.sop_uid for each in self.listed], self.sop_uids, kinds)

    def _read(self, film: str) -> bytes:
        if film in self.inbox:
            try:
                return self._store.get(self.inbox[film])
            except ObjectNotFound:
                raise ServiceUnavailable("a film left the inbox meanwhile; the exam is read again") from None
        if self._archive is None or self.study_uid is None:
            raise ServiceUnavailable("a film is neither in the inbox nor in the archive; the exam is read again")
        return self._archive.fetch(self.study_uid, self.archived[film])


class ExamFlow:
    """The flow of exams with its surroundings."""

    def __init__(
        self,
        store: ObjectStore,
        archive: Archive | None,
        destinations: Sequence[Destination],
        predict: Predict,
        options: FlowOptions,
    ) -> None:
        self._store, self._archive, self._destinations = store, archive, destinations
        self._predict, self._options = predict, options

    def exam(self, study: str, study_uid: str | None = None) -> Exam:
        """Return an exam by the hash of its study's UID; nothing is read yet."""
        return Exam(study, self._store, self._archive, self._destinations, study_uid)

    def process(self, study: str, last_film: float | None = None) -> Outcome:
        """Bring an exam to stored results, from wherever it is.

        Args:
            last_film: time at which its last film came, in seconds since the epoch.

        Raises:
            ServiceUnavailable: something does not answer; begin again later.
            Rejected: a destination refused an object for good.
            MammoError: the exam can't be predicted.
        """
        self._finish_forgetting(study)
        exam = self.exam(study)
        prediction = read_prediction(self._store, study)
        if exam.study_uid is None or not exam.films:
            if prediction is not None:
                raise ServiceUnavailable("an exam is predicted, and its films are not found; its results wait for them")
            return "gone"
        # where its record is damaged, a destination may lack results that the archive has
        damaged = prediction is None and self._store.exists(layout.gateway_result(study))
        if prediction is not None and prediction.film_set != film_set(exam.films):
            prediction = None  # a film came late: the answer is about other films
        if prediction is None and not damaged and exam.has_results(self._options.kinds):
            self._forget(exam)
            return "there already"
        if prediction is None:
            prediction = self._predicted(exam)
            if prediction is None:
                self._forget(exam)
                return "no film"
            if self.exam(study, exam.study_uid).films != exam.films:
                return self.process(study, last_film)  # films came, or another worker took it over meanwhile
            write_prediction(self._store, study, prediction)
        self._deliver(exam, prediction)
        self._forget(exam)
        if last_film is not None:
            views = "four" if is_complete([exam.header(film) for film in exam.films]) else "fewer"
            metrics.GATEWAY_SECONDS.labels(views).observe(max(0.0, time.time() - last_film))
        return "stored"

    def _predicted(self, exam: Exam) -> StoredPrediction | None:
        """Predict an exam; None if no film can be sent."""
        refused: dict[str, Refusal] = {}
        for film in exam.films:
            refusal = refusal_of(exam.header(film), self._options.implants)
            if refusal is not None:
                refused[film] = refusal
        sent = [film for film in exam.films if film not in refused]
        for film in sent[MOST_FILMS:]:
            refused[film] = Refusal("too-many-films", f"more than {MOST_FILMS} films in one exam")
        sent = sent[:MOST_FILMS]
        if not sent:
            return None
        answer = self._predict([exam.data(film) for film in sent])
        for why in refused.values():
            metrics.GATEWAY_FILMS.labels(why.code).inc()
        for each in answer.films:
            metrics.GATEWAY_FILMS.labels(each.problem.code if each.problem else "predicted").inc()
        numbers = [_whole(exam.header(film).text("SeriesNumber")) for film in exam.films]
        return new_prediction(sent, refused, answer, self._options.operating_point, exam.listed, numbers)

    def _deliver(self, exam: Exam, prediction: StoredPrediction) -> None:
        """Send the results to every destination that has not confirmed them, each independent of the others."""
        away: list[str] = []
        rejected: list[Rejected] = []
        objects: list[ResultObject] = []
        for destination in self._destinations:
            if destination.name in prediction.confirmed:
                continue
            try:
                destination.check()
                objects = objects or self._objects(exam, prediction)
                deliver(destination, objects)
            except ServiceUnavailable as error:
                away.append(f"{destination.name}: {error}")
                continue
            except Rejected as error:
                rejected.append(error)
                continue
            prediction = prediction.model_copy(update={"confirmed": (*prediction.confirmed, destination.name)})
            write_prediction(self._store, exam.study, prediction)
        if away:
            raise ServiceUnavailable("; ".join(away))
        if rejected:
            raise rejected[0]

    def _objects(self, exam: Exam, prediction: StoredPrediction) -> list[ResultObject]:
        headers = {film: exam.header(film) for film in exam.films}
        by_uid = {header.sop_uid: film for film, header in headers.items()}
        report = prediction.report(headers)
        return build_objects(report, self._options.kinds, lambda uid: exam.data(by_uid[uid]))

    def _forget(self, exam: Exam) -> None:
        """Delete what is confirmed. A note of what it is comes first, so that a crash leaves no part of an exam."""
        if exam.inbox:
            note = ForgottenExam(keys=tuple(key for film, key in exam.inbox.items() if film in exam.films))
            self._store.put(layout.gateway_forgotten(exam.study), document(note))
            self._finish_forgetting(exam.study)
        self._store.delete(layout.gateway_result(exam.study))

    def _finish_forgetting(self, study: str) -> None:
        """Go on where a crash ended `_forget`. A note that can't be read is dropped, and its films are new."""
        try:
            note = read_document(self._store, layout.gateway_forgotten(study), ForgottenExam)
        except ObjectNotFound:
            return
        except ObjectUnreadable as error:
            _log.warning("a note of stored films is ignored", extra={"exam": study, "reason": str(error)})
            self._store.delete(layout.gateway_forgotten(study))
            return
        for key in note.keys:
            self._store.delete(key)
        self._store.delete(layout.gateway_result(study))
        self._store.delete(layout.gateway_forgotten(study))


def deliver(destination: Destination, objects: Sequence[ResultObject]) -> None:
    """Send objects that a destination does not hold yet, and read them back.

    Raises:
        ServiceUnavailable: they did not all arrive.
        Rejected: one was refused for good.
    """
    there = _listed(destination, objects)
    missing = [each for each in objects if each.sop_uid not in (there or ())]
    if missing:
        try:
            destination.send(missing)
        except Rejected:
            metrics.GATEWAY_OBJECTS.labels("any", "rejected").inc()
            raise
        there = _listed(destination, objects)
    if there is not None and not {each.sop_uid for each in objects} <= there:
        raise ServiceUnavailable(f"{destination.name} took the results and does not list them yet")
    for each in missing:
        metrics.GATEWAY_OBJECTS.labels(each.kind, "stored" if there is not None else "sent").inc()


def _listed(destination: Destination, objects: Sequence[ResultObject]) -> set[str] | None:
    found = destination.instances(objects[0].study_uid)
    return None if found is None else {each.sop_uid for each in found}


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0
