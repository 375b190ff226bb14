"""The directory store and its file system: what can't be read is an error, and nothing outside is an object."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shared import metrics
from shared.errors import ObjectNotFound, StoreError, StoreMisconfigured, StoreUnavailable
from shared.store.directory import DirectoryStore


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path / "store")
    store.put("inbox/a.png", b"a")
    store.put("access/keys.json", b"secret")
    return store


CALLS: list[Callable[[DirectoryStore], object]] = [
    lambda store: list(store.list("inbox/")),
    lambda store: store.get("inbox/a.png"),
    lambda store: store.put("inbox/b.png", b"b"),
    lambda store: store.exists("inbox/a.png"),
    lambda store: store.size("inbox/a.png"),
    lambda store: store.delete("inbox/a.png"),
]


class TestDirectoryErrors:
    @pytest.mark.parametrize(
        ("number", "expected"),
        [
            (errno.EACCES, StoreMisconfigured),
            (errno.EROFS, StoreMisconfigured),
            (errno.EIO, StoreUnavailable),
            (errno.ESTALE, StoreUnavailable),
            (errno.ENOTCONN, StoreUnavailable),
            (errno.ENOSPC, StoreUnavailable),
            (errno.EMFILE, StoreUnavailable),
        ],
        ids=errno.errorcode.get,
    )
    @pytest.mark.parametrize("call", CALLS, ids=["list", "get", "put", "exists", "size", "delete"])
    def test_what_the_file_system_refuses_is_an_error_of_the_store_and_counted(
        self,
        store: DirectoryStore,
        monkeypatch: pytest.MonkeyPatch,
        call: Callable[[DirectoryStore], object],
        number: int,
        expected: type[StoreError],
    ) -> None:
        def fails(path: object, *_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number), str(path))

        for name in ("scandir", "open", "stat", "unlink"):
            monkeypatch.setattr(os, name, fails)
        monkeypatch.setattr("io.open", fails)
        counted = metrics.STORE_ERRORS.labels(expected.code)._value.get()
        with pytest.raises(expected, match=os.strerror(number)):
            call(store)
        assert metrics.STORE_ERRORS.labels(expected.code)._value.get() == counted + 1

    def test_a_folder_that_is_not_there_holds_nothing(self, store: DirectoryStore) -> None:
        assert list(store.list("nothing/")) == []
        assert list(store.list("inbox/a.png/below/")) == []

    @pytest.mark.parametrize("target", ["../access/keys.json", "/etc/hostname", "../../outside"])
    def test_a_link_that_leaves_its_folder_is_no_object(self, store: DirectoryStore, target: str) -> None:
        (store.root.parent / "outside").write_text("outside")
        (store.root / "inbox" / "link.png").symlink_to(target)
        assert list(store.list("inbox/")) == ["inbox/a.png", "inbox/link.png"]
        assert not store.exists("inbox/link.png")
        for read in (store.get, store.size):
            with pytest.raises(ObjectNotFound):
                read("inbox/link.png")

    def test_a_link_within_its_folder_and_a_linked_folder_are_followed(self, store: DirectoryStore) -> None:
        (store.root / "inbox" / "again.png").symlink_to("a.png")
        assert store.get("inbox/again.png") == b"a"
        elsewhere = store.root.parent / "disk"
        elsewhere.mkdir()
        (store.root / "raw").symlink_to(elsewhere)
        store.put("raw/x", b"x")
        assert store.get("raw/x") == b"x"
        assert (elsewhere / "x").read_bytes() == b"x"
