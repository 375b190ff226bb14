"""Ingestion by workers: the same data set as without them, and nothing of a patient on the way."""

from pathlib import Path
from typing import Any

import pytest

from shared.datasets.mapping import read_mapping
from shared.datasets.pseudonyms import Pseudonyms
from shared.datasets.sources import open_source
from shared.errors import DatasetError, RunNotFound
from shared.ingests import units
from shared.ingests.units import IngestPlan, IngestTask, ingest_by_workers
from shared.queue.messages import Message
from shared.settings import IngestSettings
from shared.store.directory import DirectoryStore
from shared.store.ingest import ingest, stored_manifest
from tests.support.memory_queue import MemoryQueue
from tests.support.public_sets import own_exams

SETTINGS = IngestSettings(pseudonym_key="0123456789abcdef0123456789abcdef")


@pytest.fixture(autouse=True)
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.store.ingest_units.UNIT_FILMS", 3)
    monkeypatch.setattr(units, "_PAUSE_S", 0)


def plan_of(folder: Path) -> IngestPlan:
    return IngestPlan(dataset="clinic", source=str(folder), mapping=read_mapping(str(folder / "clinic.toml")))


class Workers(MemoryQueue):
    """A queue whose messages are done at once, by a worker of these settings."""

    def __init__(self, store: DirectoryStore, settings: IngestSettings = SETTINGS, seen: int = 100) -> None:
        super().__init__()
        self.sent: list[Message] = []
        task = IngestTask(settings)

        def work(_kind: Any, _unit: str) -> None:
            message = self.messages[-1][1]
            self.sent.append(message)
            if len(self.sent) > seen:
                raise KeyboardInterrupt
            try:
                unit = task.load(store, message)
                if not task.is_done(store, unit):
                    task.execute(store, None, unit, lambda: False)
            except DatasetError as error:
                task.on_failure(store, None, message, error)

        self.worker = work


class TestIngestByWorkers:
    def test_workers_make_the_same_data_set(self, tmp_path: Path) -> None:
        folder = own_exams(tmp_path / "exams")
        store, alone = DirectoryStore(tmp_path / "store"), DirectoryStore(tmp_path / "alone")
        queue = Workers(store)
        done = ingest_by_workers(store, queue, plan_of(folder), SETTINGS)
        assert (done.dataset.films, done.written, len(queue.sent)) == (8, 8, 3)
        mapping = plan_of(folder).mapping
        ingest(alone, open_source(folder, mapping, (), Pseudonyms(SETTINGS.key)), "clinic")
        assert {key: store.get(key) for key in store.list("")} == {key: alone.get(key) for key in alone.list("")}

    def test_what_was_done_before_a_kill_is_not_done_again(self, tmp_path: Path) -> None:
        folder, store = own_exams(tmp_path / "exams"), DirectoryStore(tmp_path / "store")
        with pytest.raises(KeyboardInterrupt):
            ingest_by_workers(store, Workers(store, seen=1), plan_of(folder), SETTINGS)
        names = b"".join(store.get(key) for key in store.list(""))
        assert not [text for text in (b"4711", b"A100", b"IM0", b"SECRETNAME") if text in names]
        queue = Workers(store)
        ingest_by_workers(store, queue, plan_of(folder), SETTINGS)
        assert [message.unit for message in queue.sent] == ["000001", "000002"]
        assert len(stored_manifest(store, "clinic").films) == 8
        with pytest.raises(RunNotFound):
            IngestTask(SETTINGS).load(store, queue.sent[0])

    def test_a_worker_that_sees_other_films_or_has_another_key_gives_up(self, tmp_path: Path) -> None:
        folder, store = own_exams(tmp_path / "exams"), DirectoryStore(tmp_path / "store")
        other = IngestSettings(pseudonym_key="another key of thirty-two characters")
        with pytest.raises(DatasetError, match=r"a worker gave up \(invalid-dataset\)"):
            ingest_by_workers(store, Workers(store, other), plan_of(folder), SETTINGS)

    def test_strictly_a_film_that_can_not_be_used_ends_it(self, tmp_path: Path) -> None:
        folder, store = own_exams(tmp_path / "exams"), DirectoryStore(tmp_path / "store")
        film = folder / "exams" / "A100" / "IM0CC.dcm"
        film.write_bytes(film.read_bytes()[:-500])
        with pytest.raises(DatasetError, match="a film can't be used"):
            ingest_by_workers(store, Workers(store), plan_of(folder), SETTINGS, strict=True)
        done = ingest_by_workers(store, Workers(store), plan_of(folder), SETTINGS)
        assert (done.dataset.films, [problem.kind for problem in done.problems]) == (7, ["image can't be used"])

    def test_one_whose_units_another_ingest_took_along_ends(self, tmp_path: Path) -> None:
        folder, store = own_exams(tmp_path / "exams"), DirectoryStore(tmp_path / "store")
        queue, looks = MemoryQueue(), iter(range(20))

        def end_another_one(_kind: Any, _unit: str) -> None:
            ingest(store, open_source(folder, plan_of(folder).mapping, (), Pseudonyms(SETTINGS.key)), "clinic")

        queue.worker = end_another_one
        with pytest.raises(DatasetError, match="another ingest of it ended; run the command again"):
            ingest_by_workers(store, queue, plan_of(folder), SETTINGS, lambda *_: next(looks))
        assert ingest_by_workers(store, Workers(store), plan_of(folder), SETTINGS).dataset.version == 1

    def test_a_worker_that_goes_on_running_sees_files_that_came_since(self, tmp_path: Path) -> None:
        folder, store = own_exams(tmp_path / "exams"), DirectoryStore(tmp_path / "store")
        film, queue = folder / "exams" / "A100" / "IM0CC.dcm", Workers(store)
        later = film.rename(tmp_path / "later.dcm")
        assert ingest_by_workers(store, queue, plan_of(folder), SETTINGS).dataset.films == 7
        later.rename(film)
        done = ingest_by_workers(store, queue, plan_of(folder), SETTINGS)
        assert (done.dataset.version, done.dataset.films) == (2, 8)
