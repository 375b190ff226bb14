"""Exams that wait are found and queued once they are stable; what is done, skipped or set aside is not."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from services.gateway import set_aside, tickets
from services.gateway.films import film_set, hashed, read_header
from services.gateway.flow import ExamFlow, FlowOptions
from services.gateway.inbox import keep
from services.gateway.interfaces import Rejected
from services.gateway.outbox import waiting_studies
from services.gateway.stability import StabilityOptions, decide
from services.gateway.watch import Watch
from shared.errors import InputError, ServiceUnavailable
from shared.queue.messages import Message
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support.gateway import PATIENT, four_films
from tests.unit.services.gateway.test_flow import KINDS, Pacs, Service

pytestmark = pytest.mark.slow

FILMS = four_films()
HASHES = [hashed(read_header(film).sop_uid) for film in FILMS]
STUDY = hashed(PATIENT.study_uid)
OPTIONS = StabilityOptions(quiet_s=60, wait_max_s=900)


class Queue:
    """The broker's part that tickets need, in memory."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.client, self._tickets = self, dict[str, bytes]()

    def set(self, key: str, value: str, nx: bool = False, ex: int = 0) -> bool:
        if nx and key in self._tickets:
            return False
        self._tickets[key] = value.encode()
        return True

    def get(self, key: str) -> bytes | None:
        return self._tickets.get(key)

    def delete(self, key: str) -> None:
        self._tickets.pop(key, None)

    def send_again(
        self, _kind: str, message: Message, *, tries: int, in_s: float, sent_at: float | None = None
    ) -> None:
        self.messages.append(message)


class Clock:
    def __init__(self, now: float = 1e9) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def watch(
    store: DirectoryStore, queue: Any, pacs: Pacs | None, clock: Any, options: StabilityOptions = OPTIONS
) -> Watch:
    return Watch(store, queue, pacs, KINDS, options, clock=clock)


def predicted_for_later(store: DirectoryStore) -> Pacs:
    """Return a destination that is full, for which the results of a pushed exam wait."""
    pacs = Pacs()
    pacs.full = True
    for film in FILMS:
        keep(store, film)
    with pytest.raises(ServiceUnavailable):
        ExamFlow(store, None, [pacs], Service(), FlowOptions(KINDS)).process(STUDY)
    return pacs


def refused_by_its_destination(store: DirectoryStore) -> Pacs:
    """Return an archive that refuses the results of its exam, which wait therefore."""
    pacs = Pacs(films=FILMS)
    pacs.rejects = True
    with pytest.raises(Rejected):
        ExamFlow(store, pacs, [pacs], Service(), FlowOptions(KINDS)).process(STUDY)
    return pacs


class TestWatch:
    @pytest.mark.parametrize(
        ("complete", "quiet", "waited", "skip", "decision"),
        [
            (True, 0, 0, False, "take"),
            (False, 59, 59, False, "wait"),
            (False, 60, 60, False, "take"),
            (False, 1, 900, False, "take"),
            (False, 60, 60, True, "wait"),
            (False, 1, 900, True, "skip"),
            (True, 1, 900, True, "take"),
        ],
    )
    def test_exam_is_taken_when_complete_quiet_or_after_the_longest_wait(
        self, complete: bool, quiet: float, waited: float, skip: bool, decision: str
    ) -> None:
        options = StabilityOptions(60, 900, skip)
        assert decide(options, complete=complete, quiet_s=quiet, waited_s=waited) == decision

    def test_incomplete_exam_of_the_archive_is_queued_after_the_quiet_time(self, store: DirectoryStore) -> None:
        pacs, queue, clock = Pacs(films=FILMS[:2]), Queue(), Clock()
        looking = watch(store, queue, pacs, clock)
        looking.look()
        clock.now += 50
        pacs.add(FILMS[2])
        looking.look()
        clock.now += 50
        looking.look()
        assert not queue.messages
        clock.now += 11
        looking.look()
        looking.look()
        assert [message.unit for message in queue.messages] == [STUDY]

    def test_exam_with_results_is_not_queued_and_a_late_film_queues_it_again(self, store: DirectoryStore) -> None:
        pacs, queue, clock = Pacs(films=FILMS[:3]), Queue(), Clock()
        ExamFlow(store, pacs, [pacs], Service(), FlowOptions(KINDS)).process(STUDY)
        looking = watch(store, queue, pacs, clock)
        for _ in range(3):
            looking.look()
            clock.now += 100
        assert not queue.messages
        pacs.add(FILMS[3])
        looking.look()
        clock.now += 61
        looking.look()
        assert len(queue.messages) == 1

    def test_complete_pushed_exam_is_queued_at_once_and_a_lost_message_again(self, store: DirectoryStore) -> None:
        queue: Any = Queue()
        for film in FILMS:
            keep(store, film)
        looking = Watch(store, queue, None, KINDS, OPTIONS)
        looking.look()
        looking.look()
        assert len(queue.messages) == 1
        tickets.drop(queue, STUDY)  # it ran out: the broker was lost with the message
        looking.look()
        assert len(queue.messages) == 2

    def test_exam_that_is_set_aside_waits_for_another_film(self, store: DirectoryStore) -> None:
        queue: Any = Queue()
        for film in FILMS[:3]:
            keep(store, film)
        set_aside.set_aside(store, STUDY, HASHES[:3], InputError("what is wrong; what to do"))
        looking = Watch(store, queue, None, KINDS, StabilityOptions(0, 0))
        looking.look()
        assert not queue.messages
        keep(store, FILMS[3])
        looking.look()
        assert len(queue.messages) == 1

    @pytest.mark.parametrize("archived", [[0, 1, 2], [0, 1, 2, 3]])
    def test_exam_that_is_set_aside_waits_wherever_its_films_are(
        self, store: DirectoryStore, archived: list[int]
    ) -> None:
        pacs, queue = Pacs(films=[FILMS[each] for each in archived]), Queue()
        keep(store, FILMS[3])
        set_aside.set_aside(store, STUDY, HASHES, InputError("what is wrong; what to do"))
        watch(store, queue, pacs, time.time, StabilityOptions(0, 0)).look()
        assert not queue.messages

    def test_exam_of_the_archive_that_is_taken_back_is_queued_at_the_next_look(self, store: DirectoryStore) -> None:
        pacs, queue = Pacs(films=FILMS), Queue()
        set_aside.set_aside(store, STUDY, HASHES, InputError("what is wrong; what to do"))
        looking = watch(store, queue, pacs, Clock(), StabilityOptions(0, 0))
        looking.look()
        assert not queue.messages
        set_aside.take_back(store, STUDY)
        looking.look()
        assert len(queue.messages) == 1

    def test_late_film_of_an_exam_that_is_set_aside_begins_a_new_wait(self, store: DirectoryStore) -> None:
        pacs, queue, clock = Pacs(films=FILMS[:2]), Queue(), Clock()
        set_aside.set_aside(store, STUDY, HASHES[:2], InputError("what is wrong; what to do"))
        looking = watch(store, queue, pacs, clock)
        looking.look()
        clock.now += 1000
        pacs.add(FILMS[2])
        looking.look()
        assert not queue.messages
        clock.now += 61
        looking.look()
        assert len(queue.messages) == 1

    def test_note_of_an_earlier_version_holds_for_exactly_its_films(self, store: DirectoryStore) -> None:
        note = {"film_set": film_set(HASHES[:2]), "code": "input", "message": "why", "when": "2026-01-01T00:00:00Z"}
        store.put(layout.failure(tickets.RUN, tickets.KIND, STUDY), json.dumps(note).encode())
        assert [set_aside.is_set_aside(store, STUDY, HASHES[:count]) for count in (1, 2, 3)] == [False, True, False]

    def test_incomplete_exams_are_skipped_where_that_is_set(self, store: DirectoryStore) -> None:
        pacs, queue, clock = Pacs(films=FILMS[:3]), Queue(), Clock()
        looking = watch(store, queue, pacs, clock, StabilityOptions(60, 900, skip_incomplete=True))
        for _ in range(5):
            looking.look()
            clock.now += 500
        assert not queue.messages

    def test_archive_that_is_away_does_not_hold_up_the_inbox(self, store: DirectoryStore) -> None:
        pacs, queue = Pacs(films=FILMS), Queue()
        pacs.away = True
        for film in FILMS:
            keep(store, film)
        watch(store, queue, pacs, time.time).look()
        assert len(queue.messages) == 1

    def test_films_that_led_to_nothing_are_deleted_in_the_end(self, store: DirectoryStore) -> None:
        queue: Any = Queue()
        keep(store, FILMS[0])
        clock = Clock(time.time() + 73 * 3600)
        Watch(store, queue, None, KINDS, StabilityOptions(1e9, 1e9), keep_s=72 * 3600, clock=clock).look()
        assert not list(store.list("gateway/"))

    def test_films_whose_results_wait_for_a_destination_are_kept(self, store: DirectoryStore) -> None:
        queue, clock = Queue(), Clock(time.time() + 73 * 3600)
        pacs = predicted_for_later(store)
        watch(store, queue, None, clock).look()
        pacs.full = False
        assert ExamFlow(store, None, [pacs], Service(), FlowOptions(KINDS)).process(STUDY) == "stored"

    def test_films_whose_results_were_refused_are_deleted_with_them_in_the_end(self, store: DirectoryStore) -> None:
        queue, clock = Queue(), Clock(time.time() + 73 * 3600)
        predicted_for_later(store)
        set_aside.set_aside(store, STUDY, HASHES, InputError("refused"))
        watch(store, queue, None, clock).look()
        assert not list(store.list("gateway/"))

    def test_exam_whose_results_were_refused_is_left_alone_until_it_is_taken_back(self, store: DirectoryStore) -> None:
        queue: Any = Queue()
        pacs = refused_by_its_destination(store)
        set_aside.set_aside(store, STUDY, HASHES, Rejected("refused"))
        looking = watch(store, queue, pacs, time.time)
        looking.look()
        assert not queue.messages
        set_aside.take_back(store, STUDY)
        looking.look()
        assert [message.unit for message in queue.messages] == [STUDY]

    def test_results_of_more_films_than_were_set_aside_are_sent(self, store: DirectoryStore) -> None:
        queue: Any = Queue()
        refused_by_its_destination(store)
        set_aside.set_aside(store, STUDY, HASHES[:2], Rejected("refused"))
        watch(store, queue, None, time.time).look()
        assert [message.unit for message in queue.messages] == [STUDY]

    @pytest.mark.parametrize("data", [b"{", b'{"schema_number": 9}'], ids=["damaged", "of a later release"])
    def test_prediction_that_can_not_be_read_is_left_alone_while_set_aside_and_holds_up_no_other(
        self, store: DirectoryStore, data: bytes
    ) -> None:
        queue: Any = Queue()
        others = ["0" * 64, "f" * 64]
        for study in (STUDY, *others):
            store.put(layout.gateway_result(study), data)
        set_aside.set_aside(store, STUDY, HASHES, Rejected("refused"))
        looking = watch(store, queue, None, time.time)
        looking.look()
        assert sorted(message.unit for message in queue.messages) == others
        set_aside.take_back(store, STUDY)
        looking.look()
        assert sorted(message.unit for message in queue.messages) == sorted([STUDY, *others])

    def test_refused_results_of_the_archives_films_are_deleted_in_the_end(self, store: DirectoryStore) -> None:
        queue, clock = Queue(), Clock(time.time() + 71 * 3600)
        pacs = refused_by_its_destination(store)
        set_aside.set_aside(store, STUDY, HASHES, Rejected("refused"))
        looking = watch(store, queue, pacs, clock)
        looking.look()
        assert len(waiting_studies(store)) == 1
        clock.now += 2 * 3600
        looking.look()
        assert (waiting_studies(store), queue.messages) == (set(), [])

    def test_film_that_completes_a_pushed_exam_queues_it_at_once(self, store: DirectoryStore) -> None:
        queue: Any = Queue()
        looking, queued = watch(store, queue, None, time.time), []
        for film in FILMS:
            keep(store, film, arrived=looking.look_at_received)
            queued.append(len(queue.messages))
        assert queued == [0, 0, 0, 1]

    def test_completed_exam_that_is_set_aside_is_not_queued_by_a_repeated_film(self, store: DirectoryStore) -> None:
        queue: Any = Queue()
        for film in FILMS:
            keep(store, film)
        set_aside.set_aside(store, STUDY, HASHES, InputError("what is wrong; what to do"))
        watch(store, queue, None, time.time).look_at_received(STUDY)
        assert not queue.messages
