"""Look for exams that wait, in the archive and in the inbox, and queue those that are stable.

What is remembered here saves work and times the quiet; after a restart all of it is found again in archive and store.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from services.gateway.eligibility import FOUR_VIEWS
from services.gateway.films import film_set, hashed
from services.gateway.inbox import ReceivedExam, is_wanted, received_exams
from services.gateway.interfaces import Archive, ListedInstance
from services.gateway.objects.uids import has_results
from services.gateway.outbox import read_prediction, waiting_studies
from services.gateway.report import ResultKind
from services.gateway.set_aside import is_set_aside, studies_set_aside
from services.gateway.stability import StabilityOptions, decide
from services.gateway.tickets import queue_exam
from shared import metrics
from shared.errors import MammoError, ObjectOfLaterRelease, ServiceUnavailable
from shared.queue.broker import Broker
from shared.store import layout
from shared.store.interface import ObjectStore

_FORGET_S = 3600
_log = logging.getLogger("mammostack.gateway")


@dataclass
class _Known:
    """A study of the archive as it was last seen; times are those of `time.time`.

    Attributes:
        settled: True if there is nothing to do until its number of objects changes.
        aside: True if it was set aside, which `mammo gateway retry` may take back at any time.
    """

    instances: int | None
    films: str
    first: float
    last: float
    settled: bool = False
    aside: bool = False
    seen: float = 0.0


class Watch:
    """Looks at the archive and the inbox.

    Args:
        archive: to poll; None: films are pushed alone.
        keep_s: seconds after which films of the inbox are deleted, unless their results wait for a destination; also
            results that a destination refused.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: ObjectStore,
        broker: Broker,
        archive: Archive | None,
        kinds: Sequence[ResultKind],
        options: StabilityOptions,
        keep_s: float = 72 * 3600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._broker, self._archive = store, broker, archive
        self._kinds, self._options = kinds, options
        self._keep_s, self._clock = keep_s, clock
        self._known: dict[str, _Known] = {}
        self._skipped: set[tuple[str, str]] = set()
        metrics.GATEWAY_EXAMS.labels("expired")  # 0 from the start, so that the first one is seen to be one

    def look(self) -> None:
        """Look once at everything; what does not answer is left for the next time."""
        oldest: list[float] = []
        for look in (self._look_at_inbox, self._look_at_archive, self._look_at_outbox):
            try:
                look(oldest)
            except MammoError as error:
                _log.warning("gateway waits", extra={"reason": str(error)})
        metrics.GATEWAY_OLDEST.set(max(0.0, self._clock() - min(oldest, default=self._clock())))

    def look_at_received(self, study: str) -> None:
        """Queue an exam of the inbox, given by its hash, if a film that has just arrived completes it."""
        for exam in received_exams(self._store, study).values():
            if exam.is_complete and not is_set_aside(self._store, study, exam.keys):
                queue_exam(self._broker, study, exam.last)

    def _look_at_inbox(self, oldest: list[float]) -> None:
        exams = received_exams(self._store)
        metrics.GATEWAY_INBOX.set(sum(len(exam.keys) for exam in exams.values()))
        waiting = waiting_studies(self._store)
        for study, exam in exams.items():
            aside = is_set_aside(self._store, study, exam.keys)
            if self._clock() - exam.last > self._keep_s and (aside or study not in waiting):
                self._sweep(exam)
            elif not aside:
                waits = self._consider(study, exam.film_set, exam.is_complete, exam.first, exam.last)
                oldest += [exam.first] if waits else []

    def _look_at_archive(self, oldest: list[float]) -> None:
        if self._archive is None:
            return
        now = self._clock()
        try:
            for entry in self._archive.recent_studies():
                study = hashed(entry.study_uid)
                known = self._known.get(study)
                if known and known.settled and entry.instances is not None and known.instances == entry.instances:
                    known.seen = now
                    continue
                if self._look_at_study(self._archive, study, entry.study_uid, entry.instances):
                    oldest.append(self._known[study].first)
        except ServiceUnavailable:
            metrics.GATEWAY_ARCHIVE_UP.labels("archive").set(0)
            raise
        metrics.GATEWAY_ARCHIVE_UP.labels("archive").set(1)
        self._known = {study: known for study, known in self._known.items() if now - known.seen < _FORGET_S}

    def _look_at_study(self, archive: Archive, study: str, study_uid: str, count: int | None) -> bool:
        """Look at one study of the archive; return True if it waits for results."""
        listed = archive.instances(study_uid) or []
        films = {hashed(each.sop_uid): each for each in listed if is_wanted(each.sop_class)}
        now, digest = self._clock(), film_set(films)
        known = self._known.get(study)
        if known is None:
            known = self._known[study] = _Known(count, digest, now, now)
        if known.films != digest:
            known.films, known.last = digest, now
            known.first = now if known.settled or known.aside else known.first  # a late film begins a new wait
        known.instances, known.seen = count, now
        uids = [each.sop_uid for each in films.values()]
        known.settled = not films or has_results([each.sop_uid for each in listed], uids, self._kinds)
        known.aside = not known.settled and is_set_aside(self._store, study, films)
        if known.settled or known.aside:
            return False
        return self._consider(study, digest, _complete(films.values()), known.first, known.last)

    def _look_at_outbox(self, _oldest: list[float]) -> None:
        """Queue exams that are predicted and not stored, since their message may be lost.

        Those that are set aside, because a destination refuses their results, are left alone and deleted in the end.
        Without a time of its own a prediction that can't be read stays, as does one of a later release.
        """
        waiting, aside = waiting_studies(self._store), studies_set_aside(self._store)
        metrics.GATEWAY_OUTBOX.set(len(waiting))
        for study in waiting:
            try:
                prediction = read_prediction(self._store, study) if study in aside else None
            except ObjectOfLaterRelease:
                continue
            films = prediction.films if prediction else ()
            if study not in aside or not is_set_aside(self._store, study, films):
                queue_exam(self._broker, study, self._clock())
            elif prediction and self._clock() - prediction.made.timestamp() > self._keep_s:
                self._store.delete(layout.gateway_result(study))

    def _consider(self, study: str, digest: str, complete: bool, first: float, last: float) -> bool:
        """Queue an exam if it is stable; return False if it is skipped."""
        now = self._clock()
        decision = decide(self._options, complete=complete, quiet_s=now - last, waited_s=now - first)
        if decision == "take":
            queue_exam(self._broker, study, last)
        if decision == "skip" and (study, digest) not in self._skipped:
            self._skipped.add((study, digest))
            metrics.GATEWAY_EXAMS.labels("incomplete").inc()
        return decision != "skip"

    def _sweep(self, exam: ReceivedExam) -> None:
        """Delete films, and first a prediction that was refused, which can't be sent without them."""
        self._store.delete(layout.gateway_result(exam.study))
        for key in exam.keys.values():
            self._store.delete(key)
        metrics.GATEWAY_EXAMS.labels("expired").inc()
        _log.warning("films of an exam without results were deleted", extra={"exam": exam.study})


def _complete(films: Iterable[ListedInstance]) -> bool:
    return {(each.side, each.view) for each in films} >= FOUR_VIEWS
