"""The command `mammo gc`: lists by default, and deletes when told to."""

import os
import time
from pathlib import Path

import pytest

from shared.errors import InputError
from shared.store.directory import DirectoryStore
from tests.support.commands import mammo


def old(store: DirectoryStore, key: str, days: float) -> None:
    store.put(key, b"12345")
    when = time.time() - days * 86400
    os.utime(Path(store.locate(key)), (when, when))


class TestGc:
    def test_lists_by_kind_and_deletes_nothing_by_default(self, store: DirectoryStore) -> None:
        old(store, "runs/gone/training/x/result.json", days=31)
        old(store, "runs/newer/training/x/result.json", days=29)
        shown = " ".join(mammo("gc").split())
        assert "runs/gone/" in shown
        assert "runs/newer/" not in shown
        assert "files of runs without a plan: 1 objects, 5 B" in shown
        assert len(list(store.list("runs/"))) == 2

    def test_deletes_when_asked_to(self, store: DirectoryStore) -> None:
        old(store, "runs/gone/training/x/result.json", days=3)
        old(store, "runs/newer/training/x/result.json", days=1)
        assert "1 objects with 5 B were deleted" in mammo("gc", "--older-than", "48h", "--delete")
        assert list(store.list("runs/")) == ["runs/newer/training/x/result.json"]
        assert "There is nothing" in mammo("gc", "--older-than", "48h", "--delete")

    @pytest.mark.parametrize("ahead_days", [-40, 40])
    def test_ages_are_by_the_clock_of_the_store(
        self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, ahead_days: int
    ) -> None:
        old(store, "runs/gone/training/x/result.json", days=31)
        old(store, "runs/newer/training/x/result.json", days=0)
        shifted = time.time() + ahead_days * 86400
        monkeypatch.setattr(time, "time", lambda: shifted)
        assert "1 objects with 5 B were deleted" in mammo("gc", "--delete")
        assert list(store.list("")) == ["runs/newer/training/x/result.json"]

    @pytest.mark.parametrize(("age", "why"), [("30", "such as 30d"), ("1h", "at least 1d"), ("-3d", "such as 30d")])
    def test_an_age_that_is_none_or_too_young_is_refused(self, store: DirectoryStore, age: str, why: str) -> None:
        with pytest.raises(InputError, match=why):
            mammo("gc", f"--older-than={age}")

    def test_nothing_is_deleted_while_a_record_can_not_be_read(self, store: DirectoryStore) -> None:
        old(store, "runs/gone/training/x/result.json", days=31)
        store.put("runs/r/plan.json", b"{")
        with pytest.raises(InputError, match=r"runs/r/plan.json can't be read: .* nothing is deleted"):
            mammo("gc", "--delete")
        assert store.exists("runs/gone/training/x/result.json")
