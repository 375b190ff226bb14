"""Reading ahead and writing behind: the work goes on meanwhile, nothing is lost, and trouble is told."""

import threading
import time
from pathlib import Path

import pytest

from shared.errors import ObjectNotFound, StoreUnavailable
from shared.store.directory import DirectoryStore
from shared.store.prefetch import THREADS, PrefetchingStore


class Slow(DirectoryStore):
    """Every request waits for `go`; `under_way` counts those that do, `most` how many did at a time."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.go = threading.Event()
        self.under_way = self.most = 0
        self._counting = threading.Lock()

    def get(self, key: str) -> bytes:
        self._wait()
        return super().get(key)

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self._wait()
        return super().put(key, data, if_absent=if_absent, if_match=if_match)

    def _wait(self) -> None:
        with self._counting:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        assert self.go.wait(10)
        with self._counting:
            self.under_way -= 1


class Away(DirectoryStore):
    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        raise StoreUnavailable("away")


class TestPrefetchingStore:
    def test_what_is_put_is_written_when_the_block_ends_and_not_waited_for_before(self, tmp_path: Path) -> None:
        store = Slow(tmp_path)
        with PrefetchingStore(store) as files:
            for number in range(THREADS):
                files.put(f"images/{number}", b"%d" % number)
            assert not list(store.list("images/"))
            store.go.set()
        assert [store.get(key) for key in store.list("images/")] == [b"%d" % number for number in range(THREADS)]

    def test_no_more_is_written_at_a_time_than_there_is_room_for(self, tmp_path: Path) -> None:
        store = Slow(tmp_path)
        threading.Timer(0.1, store.go.set).start()
        with PrefetchingStore(store) as files:
            for number in range(3 * THREADS):
                files.put(f"images/{number:02d}", b"x")
                assert store.most <= THREADS
        assert len(list(store.list("images/"))) == 3 * THREADS

    def test_what_is_expected_is_read_meanwhile_and_once(self, tmp_path: Path) -> None:
        store = Slow(tmp_path)
        store.go.set()
        store.put("a", b"first")
        store.go.clear()
        with PrefetchingStore(store) as files:
            files.expect(["a", "b"])
            files.expect(["a"])
            until = time.monotonic() + 5
            while store.under_way < 2 and time.monotonic() < until:
                time.sleep(0.01)
            assert store.under_way == 2
            store.go.set()
            assert files.get("a") == b"first"
            with pytest.raises(ObjectNotFound):
                files.get("b")
            store.put("a", b"second")
            assert files.get("a") == b"second"  # another try reads it anew

    def test_trouble_with_writing_is_told_at_the_end(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable), PrefetchingStore(Away(tmp_path)) as files:
            files.put("a", b"x")

    def test_trouble_with_writing_stops_who_goes_on(self, tmp_path: Path) -> None:
        made: list[str] = []

        def make_many() -> None:
            with PrefetchingStore(Away(tmp_path)) as files:
                for number in range(100):
                    files.put(str(number), b"x")
                    made.append(str(number))

        with pytest.raises(StoreUnavailable):
            make_many()
        assert len(made) == THREADS

    def test_nothing_is_being_written_any_more_after_an_error_in_the_block(self, tmp_path: Path) -> None:
        store = Slow(tmp_path)
        threading.Timer(0.05, store.go.set).start()

        def fail() -> None:
            with PrefetchingStore(store) as files:
                files.put("a", b"x")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert store.under_way == 0
