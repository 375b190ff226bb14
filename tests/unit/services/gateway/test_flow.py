"""An exam's way from films to stored results: nothing lost, nothing twice, from any point at which it was ended."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.gateway.films import hashed, read_header
from services.gateway.flow import ExamFlow, FlowOptions
from services.gateway.inbox import keep, received_exams
from services.gateway.interfaces import ListedInstance, Rejected, StudyEntry
from services.gateway.objects.build import ResultObject
from services.gateway.objects.uids import kind_of
from services.gateway.outbox import read_prediction
from services.gateway.report import ResultKind
from shared.api.exams import ExamPrediction
from shared.errors import ObjectOfLaterRelease, ServiceUnavailable
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support.gateway import PATIENT, SECRETS, answer, changed, finding, four_films, problem

pytestmark = pytest.mark.slow

FILMS = four_films()
STUDY = hashed(PATIENT.study_uid)
KINDS: tuple[ResultKind, ...] = ("cad-sr", "tid1500", "sc")


class Pacs:
    """An archive and destination in memory, which can be away or refuse."""

    def __init__(self, name: str = "pacs", films: Sequence[bytes] = ()) -> None:
        self.name = name
        self.objects: dict[str, tuple[ListedInstance, bytes]] = {}
        self.taken = self.today = datetime.now(UTC)
        self.away, self.full, self.rejects, self.sent = False, False, False, 0
        for film in films:
            self.add(film)

    def add(self, data: bytes) -> None:
        header = read_header(data)
        self._put(header.sop_class, header.sop_uid, header.series_uid, data, int(header.text("SeriesNumber") or 0))

    def _put(self, sop_class: str, uid: str, series: str, data: bytes, number: int) -> None:
        self.objects.setdefault(uid, (ListedInstance(sop_class, uid, series, number, instance_number=1), data))

    def check(self) -> None:
        if self.away:
            raise ServiceUnavailable("away")

    def recent_studies(self, back_from: datetime | None = None) -> Iterator[StudyEntry]:
        self.check()
        if (back_from or self.today) - timedelta(days=2) <= self.taken:
            yield StudyEntry(PATIENT.study_uid, len(self.objects))

    def instances(self, _study_uid: str) -> list[ListedInstance] | None:
        self.check()
        return [instance for instance, _ in self.objects.values()]

    def fetch(self, _study_uid: str, instance: ListedInstance) -> bytes:
        self.check()
        return self.objects[instance.sop_uid][1]

    def send(self, objects: Sequence[ResultObject]) -> None:
        self.check()
        if self.full:
            raise ServiceUnavailable("full")
        if self.rejects:
            raise Rejected("refused")
        self.sent += len(objects)
        for each in objects:
            self._put(each.sop_class, each.sop_uid, each.series_uid, each.data, 9001)

    def results(self) -> list[str]:
        return sorted(kind for uid in self.objects if (kind := kind_of(uid)) is not None)


class Service:
    """The inference service: counts what it is asked, and can be away."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.away = False
        self.refused = 0

    def __call__(self, films: Sequence[bytes]) -> ExamPrediction:
        if self.away:
            raise ServiceUnavailable("away")
        self.asked.append(len(films))
        findings: list[Any] = [finding(read_header(film)) for film in films]
        return answer([problem() if number < self.refused else each for number, each in enumerate(findings)])


ONE_SET = ["cad-sr", "sc", "sc", "sc", "sc", "tid1500"]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def flow(store: DirectoryStore, service: Service, *places: Pacs, archive: Pacs | None = None) -> ExamFlow:
    return ExamFlow(store, archive, places, service, FlowOptions(KINDS))


def keys(store: DirectoryStore) -> list[str]:
    return list(store.list("gateway/"))


class Killed(BaseException):
    """The process is killed."""


class DyingStore:
    """A store whose process is killed before its n-th change."""

    def __init__(self, store: DirectoryStore, at: int) -> None:
        self._store, self._left = store, at

    def _count(self) -> None:
        if self._left == 0:
            raise Killed
        self._left -= 1

    def put(self, *arguments: Any, **options: Any) -> str:
        self._count()
        return self._store.put(*arguments, **options)

    def delete(self, key: str) -> None:
        self._count()
        self._store.delete(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class TestExamFlow:
    def test_exam_of_the_archive_gets_one_result_of_each_kind_and_leaves_nothing(self, store: DirectoryStore) -> None:
        pacs, service = Pacs(films=FILMS), Service()
        exams = flow(store, service, pacs, archive=pacs)
        assert exams.process(STUDY) == "stored"
        assert exams.process(STUDY) == "there already"
        assert pacs.results() == ONE_SET
        assert (service.asked, keys(store)) == ([4], [])

    def test_pushed_exam_gets_its_results_and_its_films_leave_the_inbox(self, store: DirectoryStore) -> None:
        pacs, service = Pacs(), Service()
        assert [keep(store, film) for film in [*FILMS, FILMS[0]]] == [True] * 4 + [False]
        assert received_exams(store)[STUDY].is_complete
        assert flow(store, service, pacs).process(STUDY) == "stored"
        assert (pacs.results(), keys(store)) == (ONE_SET, [])

    def test_exam_that_is_pushed_again_is_not_predicted_again(self, store: DirectoryStore) -> None:
        pacs, service = Pacs(), Service()
        for _ in range(2):
            for film in FILMS:
                keep(store, film)
            flow(store, service, pacs).process(STUDY)
        # the destination lists no films, so what is done is known by the results alone
        assert (service.asked, pacs.sent, keys(store)) == ([4], 6, [])

    def test_late_film_makes_a_new_report_that_names_its_predecessor(self, store: DirectoryStore) -> None:
        pacs, service = Pacs(films=FILMS[:3]), Service()
        exams = flow(store, service, pacs, archive=pacs)
        exams.process(STUDY)
        pacs.add(FILMS[3])
        assert exams.process(STUDY) == "stored"
        assert service.asked == [3, 4]
        assert pacs.results() == ["cad-sr", "cad-sr", "sc", "sc", "sc", "sc", "tid1500", "tid1500"]
        newest = [data for instance, data in pacs.objects.values() if kind_of(instance.sop_uid) == "cad-sr"][-1]
        earlier = next(uid for uid in pacs.objects if kind_of(uid) == "cad-sr")
        assert earlier.encode() in newest

    def test_late_film_that_is_pushed_is_judged_with_those_of_the_archive(self, store: DirectoryStore) -> None:
        pacs, service = Pacs(films=FILMS[:3]), Service()
        keep(store, FILMS[3])
        assert flow(store, service, pacs, archive=pacs).process(STUDY) == "stored"
        assert service.asked == [4]

    def test_promotion_alone_does_not_run_an_exam_again(self, store: DirectoryStore) -> None:
        pacs = Pacs(films=FILMS)
        flow(store, Service(), pacs, archive=pacs).process(STUDY)

        def promoted(films: Sequence[bytes]) -> ExamPrediction:
            raise AssertionError("predicted again")

        assert ExamFlow(store, pacs, [pacs], promoted, FlowOptions(KINDS)).process(STUDY) == "there already"

    def test_destination_that_is_away_holds_up_no_other_and_repeats_no_prediction(self, store: DirectoryStore) -> None:
        first, second, service = Pacs("first"), Pacs("second"), Service()
        for film in FILMS:
            keep(store, film)
        first.away = True
        for _ in range(2):
            with pytest.raises(ServiceUnavailable, match="first"):
                ExamFlow(store, None, [first, second], service, FlowOptions(KINDS)).process(STUDY)
        assert second.results() == ONE_SET
        assert len(received_exams(store)[STUDY].keys) == 4
        first.away = False
        assert ExamFlow(store, None, [first, second], service, FlowOptions(KINDS)).process(STUDY) == "stored"
        assert (first.results(), second.sent, service.asked, keys(store)) == (ONE_SET, 6, [4], [])
        shared = {uid: data for uid, (_, data) in first.objects.items()}
        assert shared == {uid: data for uid, (_, data) in second.objects.items()}

    def test_results_are_sent_when_a_destination_returns_after_the_days_that_are_looked_back(
        self, store: DirectoryStore
    ) -> None:
        archive, destination, service = Pacs(films=FILMS), Pacs("other"), Service()
        destination.away = True
        exams = flow(store, service, destination, archive=archive)
        with pytest.raises(ServiceUnavailable, match="other"):
            exams.process(STUDY)
        archive.today += timedelta(days=3)
        destination.away = False
        assert exams.process(STUDY) == "stored"
        assert (destination.results(), service.asked, keys(store)) == (ONE_SET, [4], [])

    def test_prediction_is_kept_while_its_films_are_not_found(self, store: DirectoryStore) -> None:
        archive, destination, service = Pacs(films=FILMS), Pacs("other"), Service()
        destination.away = True
        exams = flow(store, service, destination, archive=archive)
        with pytest.raises(ServiceUnavailable, match="other"):
            exams.process(STUDY)
        archive.taken -= timedelta(days=9)
        with pytest.raises(ServiceUnavailable, match="films are not found"):
            exams.process(STUDY)
        archive.taken += timedelta(days=9)
        destination.away = False
        assert exams.process(STUDY) == "stored"
        assert service.asked == [4]

    def test_refusing_destination_is_reported_after_the_others_have_theirs(self, store: DirectoryStore) -> None:
        first, second = Pacs("first"), Pacs("second")
        for film in FILMS:
            keep(store, film)
        first.rejects = True
        with pytest.raises(Rejected):
            ExamFlow(store, None, [first, second], Service(), FlowOptions(KINDS)).process(STUDY)
        assert second.results() == ONE_SET

    def test_results_that_a_destination_does_not_list_are_sent_again(self, store: DirectoryStore) -> None:
        pacs, service = Pacs(), Service()
        for film in FILMS:
            keep(store, film)
        send = pacs.send
        pacs.send = lambda objects: None  # type: ignore[method-assign]
        with pytest.raises(ServiceUnavailable, match="does not list them"):
            flow(store, service, pacs).process(STUDY)
        assert len(received_exams(store)[STUDY].keys) == 4
        pacs.send = send  # type: ignore[method-assign]
        assert flow(store, service, pacs).process(STUDY) == "stored"
        assert (pacs.results(), service.asked) == (ONE_SET, [4])

    def test_inference_service_that_is_away_loses_no_film(self, store: DirectoryStore) -> None:
        pacs, service = Pacs(), Service()
        for film in FILMS:
            keep(store, film)
        service.away = True
        with pytest.raises(ServiceUnavailable):
            flow(store, service, pacs).process(STUDY)
        assert len(received_exams(store)[STUDY].keys) == 4
        service.away = False
        assert flow(store, service, pacs).process(STUDY) == "stored"

    @pytest.mark.parametrize("at", range(12))
    def test_exam_killed_at_any_change_of_the_store_ends_with_one_result_of_each_kind(
        self, store: DirectoryStore, at: int
    ) -> None:
        pacs, service = Pacs(), Service()
        for film in FILMS:
            keep(store, film)
        dying: Any = DyingStore(store, at)
        try:
            flow(dying, service, pacs).process(STUDY)
        except Killed:
            flow(store, service, pacs).process(STUDY)
        assert (pacs.results(), keys(store)) == (ONE_SET, [])
        assert service.asked in ([4], [4, 4])

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_exam_killed_while_sending_ends_with_one_result_of_each_kind(
        self, store: DirectoryStore, moment: str
    ) -> None:
        pacs, service = Pacs(films=FILMS), Service()
        send = pacs.send

        def dying(objects: Sequence[ResultObject]) -> None:
            send(objects[:2] if moment == "before" else objects)
            raise Killed

        pacs.send = dying  # type: ignore[method-assign]
        with pytest.raises(Killed):
            flow(store, service, pacs, archive=pacs).process(STUDY)
        pacs.send = send  # type: ignore[method-assign]
        assert flow(store, service, pacs, archive=pacs).process(STUDY) in ("stored", "there already")
        flow(store, service, pacs, archive=pacs).process(STUDY)
        assert (pacs.results(), service.asked) == (ONE_SET, [4])

    @pytest.mark.parametrize("polled", [True, False])
    def test_film_that_comes_while_an_exam_is_predicted_is_predicted_with_the_others(
        self, store: DirectoryStore, polled: bool
    ) -> None:
        pacs, service = Pacs(films=FILMS[:3] if polled else ()), Service()
        for film in [] if polled else FILMS[:3]:
            keep(store, film)

        def predict(films: Sequence[bytes]) -> ExamPrediction:
            pacs.add(FILMS[3]) if polled else keep(store, FILMS[3])
            return service(films)

        exams = ExamFlow(store, pacs if polled else None, [pacs], predict, FlowOptions(KINDS))
        assert exams.process(STUDY) == "stored"
        assert (pacs.results(), service.asked, keys(store)) == (ONE_SET, [3, 4], [])

    def test_film_that_comes_while_results_are_sent_stays(self, store: DirectoryStore) -> None:
        pacs = Pacs()
        for film in FILMS[:3]:
            keep(store, film)
        send = pacs.send

        def late(objects: Sequence[ResultObject]) -> None:
            keep(store, FILMS[3])
            send(objects)

        pacs.send = late  # type: ignore[method-assign]
        flow(store, Service(), pacs).process(STUDY)
        assert len(received_exams(store)[STUDY].keys) == 1

    def test_worker_that_was_taken_for_dead_adds_no_older_report(self, store: DirectoryStore) -> None:
        pacs = Pacs()
        for film in FILMS[:3]:
            keep(store, film)

        def late(films: Sequence[bytes]) -> ExamPrediction:
            if len(films) == 3:  # another worker finishes the exam with its late film meanwhile
                keep(store, FILMS[3])
                flow(store, Service(), pacs).process(STUDY)
            return Service()(films)

        assert ExamFlow(store, None, [pacs], late, FlowOptions(KINDS)).process(STUDY) == "gone"
        assert (pacs.results(), keys(store)) == (ONE_SET, [])

    def test_exam_without_a_film_to_judge_gets_no_object(self, store: DirectoryStore) -> None:
        pacs, service = Pacs(films=[changed(film, BreastImplantPresent="YES") for film in FILMS]), Service()
        assert flow(store, service, pacs, archive=pacs).process(STUDY) == "no film"
        assert (pacs.results(), service.asked) == ([], [])

    def test_films_beyond_twelve_are_refused_in_the_report(self, store: DirectoryStore) -> None:
        films = [changed(FILMS[0], SOPInstanceUID=f"1.2.3.{number}") for number in range(14)]
        pacs, service = Pacs(films=films), Service()
        flow(store, service, pacs, archive=pacs).process(STUDY)
        assert service.asked == [12]
        report = next(data for uid, (_, data) in pacs.objects.items() if kind_of(uid) == "cad-sr")
        assert report.count(b"more than 12 films in one exam") == 2

    def test_results_do_not_trigger(self, store: DirectoryStore) -> None:
        pacs = Pacs(films=FILMS)
        flow(store, Service(), pacs, archive=pacs).process(STUDY)
        results = [data for uid, (_, data) in pacs.objects.items() if kind_of(uid)]
        other = Pacs(films=results)
        assert flow(store, Service(), other, archive=other).process(STUDY) == "gone"

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"schema_number": 2}'])
    def test_exam_whose_stored_prediction_is_damaged_is_predicted_again(
        self, store: DirectoryStore, data: bytes
    ) -> None:
        first, second, service = Pacs("first", FILMS), Pacs("second"), Service()
        second.away = True
        exams = flow(store, service, first, second, archive=first)
        with pytest.raises(ServiceUnavailable, match="second"):
            exams.process(STUDY)
        store.put(layout.gateway_result(STUDY), data)
        second.away = False
        assert exams.process(STUDY) == "stored"
        assert (second.results(), service.asked, keys(store)) == (ONE_SET, [4, 4], [])

    def test_exam_with_a_damaged_prediction_can_be_set_aside(self, store: DirectoryStore) -> None:
        pacs = Pacs(films=FILMS)
        store.put(layout.gateway_result(STUDY), b"{")
        assert len(flow(store, Service(), pacs, archive=pacs).exam(STUDY).films) == 4

    def test_prediction_of_a_later_release_waits_for_it(self, store: DirectoryStore) -> None:
        pacs, service = Pacs(films=FILMS), Service()
        later = b'{"schema_number": 9, "code_version": "3.0.0"}'
        store.put(layout.gateway_result(STUDY), later)
        with pytest.raises(ObjectOfLaterRelease):
            flow(store, service, pacs, archive=pacs).process(STUDY)
        assert (store.get(layout.gateway_result(STUDY)), service.asked) == (later, [])

    def test_damaged_prediction_is_logged_once(self, store: DirectoryStore, caplog: pytest.LogCaptureFixture) -> None:
        study = hashed("1.2.3.4.5")
        store.put(layout.gateway_result(study), b"{")
        assert [read_prediction(store, study) for _ in range(3)] == [None] * 3
        assert [record.message for record in caplog.records] == ["a stored prediction is ignored"]

    @pytest.mark.parametrize("data", [b"", b'["gateway/inbox/key"]'])
    def test_note_of_stored_films_that_can_not_be_read_is_no_obstacle(self, store: DirectoryStore, data: bytes) -> None:
        pacs = Pacs(films=FILMS)
        store.put(layout.gateway_forgotten(STUDY), data)
        assert flow(store, Service(), pacs, archive=pacs).process(STUDY) == "stored"
        assert (pacs.results(), keys(store)) == (ONE_SET, [])

    def test_outbox_holds_no_value_of_a_header(self, store: DirectoryStore) -> None:
        pacs = Pacs()
        for film in FILMS:
            keep(store, changed(film, InstitutionName="SECRET-INSTITUTION"))
        pacs.full = True
        with pytest.raises(ServiceUnavailable):
            flow(store, Service(), pacs).process(STUDY)
        stored = "".join(store.get(key).decode() for key in store.list("gateway/outbox/"))
        assert json.loads(stored)["answer"]["films"]
        listing = "".join(store.list(""))
        assert not [secret for secret in SECRETS if secret in stored + listing]
        assert not [uid for uid in (read_header(film).sop_uid for film in FILMS) if uid in stored + listing]
