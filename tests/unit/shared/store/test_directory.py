"""The store in a directory: what it refuses, what dead writers leave, and what a full disk says."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import InputError, PreconditionFailed, StoreMisconfigured, StoreUnavailable
from shared.store.directory import ABANDONED_AFTER, DirectoryStore
from shared.store.objects import open_store
from tests.support.stores import settings_for


@pytest.fixture
def leave_partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """Begins to write an object as a process that is killed on the way does, some seconds ago."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def leave(key: str, age: float) -> None:
        store = DirectoryStore(tmp_path)
        before = partial_files(tmp_path)
        with monkeypatch.context() as killed:
            killed.setattr(os, "replace", interrupt)
            killed.setattr(os, "unlink", interrupt)
            with pytest.raises(KeyboardInterrupt):
                store.put(key, b"half")
        (left,) = partial_files(tmp_path) - before
        os.utime(left, (time.time() - age,) * 2)

    return leave


def partial_files(root: Path) -> set[Path]:
    return {path for path in (root / ".partial").iterdir() if path.name != "lock"}


class TestDirectoryStore:
    @pytest.mark.parametrize(
        "key", ["../secret", "raw/../../secret", "/etc/hostname", "//etc/hostname", "raw/..", ".."]
    )
    def test_keys_that_leave_the_directory_are_refused(self, tmp_path: Path, key: str) -> None:
        (tmp_path / "secret").write_text("not for you")
        store = DirectoryStore(tmp_path / "store")
        uses: list[Callable[[], object]] = [
            lambda: store.get(key),
            lambda: store.read(key),
            lambda: store.put(key, b"overwritten"),
            lambda: store.exists(key),
            lambda: list(store.list(key)),
            lambda: list(store.entries(key)),
            lambda: store.delete(key),
            lambda: store.locate(key),
        ]
        for use in uses:
            with pytest.raises(InputError, match="is not a store key"):
                use()
        assert (tmp_path / "secret").read_text() == "not for you"

    def test_an_empty_key_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="'' is not a store key"):
            DirectoryStore(tmp_path).put("", b"")

    def test_a_put_that_fails_leaves_nothing_behind(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path)
        store.put("key", b"first", if_absent=True)
        with pytest.raises(PreconditionFailed):
            store.put("key", b"second", if_absent=True)
        with pytest.raises(PreconditionFailed):
            store.put("key", b"second", if_match="stale")
        assert {path.name for path in (tmp_path / ".partial").iterdir()} <= {"lock"}
        assert list(store.list("")) == ["key"]

    def test_a_file_that_goes_while_it_is_listed_is_left_out(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path)
        for key in ("a", "b", "c"):
            store.put(key, b"")
        listing = store.list("")
        assert next(listing) == "a"
        store.delete("b")
        assert list(listing) == ["c"]

    def test_stale_partial_files_below_a_prefix_are_discarded(
        self, tmp_path: Path, leave_partial: Callable[[str, float], None]
    ) -> None:
        store = DirectoryStore(tmp_path)
        store.put("key", b"", if_match=store.put("key", b""))  # makes the file that replacers lock
        for key in ("runs/a/plan.json", "runs/a/film", "runs/ab/film", "raw/film", "lock"):
            leave_partial(key, ABANDONED_AFTER + 1)
        assert store.discard_partial("runs/a/") == 2
        assert len(partial_files(tmp_path)) == 3
        assert store.discard_partial("runs/a/") == 0
        assert store.discard_partial("") == 3
        assert (tmp_path / ".partial" / "lock").exists()

    def test_opening_a_directory_discards_what_dead_writers_left(
        self, tmp_path: Path, leave_partial: Callable[[str, float], None]
    ) -> None:
        leave_partial("raw/film", ABANDONED_AFTER + 1)
        open_store(settings_for(str(tmp_path)))
        assert partial_files(tmp_path) == set()

    def test_a_fresh_partial_file_stays_with_its_writer(
        self, tmp_path: Path, leave_partial: Callable[[str, float], None]
    ) -> None:
        leave_partial("runs/a/film", ABANDONED_AFTER - 10)
        assert DirectoryStore(tmp_path).discard_partial("runs/a/") == 0
        assert len(partial_files(tmp_path)) == 1

    def test_a_long_key_can_be_written_and_its_partial_file_discarded(
        self, tmp_path: Path, leave_partial: Callable[[str, float], None]
    ) -> None:
        store = DirectoryStore(tmp_path)
        prefix = "/".join(["ä" * 120] * 4) + "/"
        store.put(f"{prefix}film", b"whole")
        leave_partial(f"{prefix}film", ABANDONED_AFTER + 1)
        assert store.discard_partial(prefix) == 1
        assert store.get(f"{prefix}film") == b"whole"

    @pytest.mark.parametrize("umask", [0o022, 0o077, 0o000], ids=oct)
    def test_files_can_be_read_by_the_users_of_other_services_and_written_by_none(
        self, tmp_path: Path, umask: int
    ) -> None:
        before = os.umask(umask)
        try:
            DirectoryStore(tmp_path).put("key", b"")
        finally:
            os.umask(before)
        assert (tmp_path / "key").stat().st_mode & 0o777 == 0o644

    def test_a_full_disk_is_told_and_may_pass(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        store = DirectoryStore(tmp_path)
        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(StoreUnavailable, match="free some space") as trouble:
            store.put("key", b"data")
        assert trouble.value.retryable

    def test_a_directory_that_can_not_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StoreMisconfigured, match="MAMMO_STORE"):
            DirectoryStore(tmp_path / "file" / "store")
