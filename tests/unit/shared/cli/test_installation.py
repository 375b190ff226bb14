"""What `mammo status` says besides the runs."""

from pathlib import Path

import pytest

from shared.cli.installation import troubles
from shared.errors import QueueUnavailable, StoreUnavailable
from shared.store import layout, models
from shared.store.directory import DirectoryStore
from tests.support.builders import model_card, small_plan
from tests.support.memory_queue import MemoryQueue, begun


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


class TestTroubles:
    def test_nothing_is_said_of_an_empty_store(self, store: DirectoryStore) -> None:
        assert list(troubles(store, MemoryQueue)) == []

    def test_a_run_without_messages_and_a_broker_that_is_away_are_named(self, store: DirectoryStore) -> None:
        queue = MemoryQueue()
        plan = begun(store, queue, small_plan())
        (line,) = troubles(store, lambda: queue)
        assert line.endswith(f"`mammo resume {plan.run}` enqueues what is missing")

        class Away(MemoryQueue):
            def is_under_way(self, run: str, kind: object) -> bool:
                raise QueueUnavailable("the broker is away")

        assert list(troubles(store, Away)) == ["the broker can't be asked what waits: the broker is away"]

    def test_a_record_of_a_later_release_hides_no_other_run_and_is_not_the_brokers_fault(
        self, store: DirectoryStore
    ) -> None:
        queue = MemoryQueue()
        of_later_release, lost = (begun(store, queue, small_plan()) for _ in range(2))
        store.put(layout.failure(of_later_release.run, "augment", "000000"), b'{"schema_number": 99}')
        (line,) = troubles(store, lambda: queue)
        assert line.endswith(f"`mammo resume {lost.run}` enqueues what is missing")

    def test_a_store_that_is_away_is_not_the_brokers_fault(
        self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_store: DirectoryStore, _run: str) -> bool:
            raise StoreUnavailable("the store is away")

        begun(store, MemoryQueue(), small_plan())
        monkeypatch.setattr("shared.runs.unattended.is_cancelled", away)
        assert list(troubles(store, MemoryQueue)) == ["runs and batches can't be read: the store is away"]

    def test_keys_that_can_not_be_read_are_named(self, store: DirectoryStore) -> None:
        store.put(layout.api_keys(), b"")
        (line,) = troubles(store, MemoryQueue)
        assert line.startswith("API keys: access/keys.json can't be read: it is empty")

    def test_a_promoted_version_with_a_missing_file_or_a_damaged_card_is_named(self, store: DirectoryStore) -> None:
        card = models.publish(store, model_card(), {"model.onnx": b"graph", "golden.json": b"{}"})
        models._move(
            store,
            card.network,
            "production",
            card.version,
            models._AliasState(None, ""),
            models.MoveReason(by="test", why="test"),
        )
        assert list(troubles(store, MemoryQueue)) == []
        store.delete(models.file_key(card, "golden.json"))
        (line,) = troubles(store, MemoryQueue)
        assert line == f"the production version of {card.network} can't be loaded: golden.json of it is missing"
        store.put(layout.model_card(card.network, card.version), b"{")
        (line,) = troubles(store, MemoryQueue)
        assert "can't be loaded" in line
        assert "damaged" in line
