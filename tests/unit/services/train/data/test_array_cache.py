"""Arrays of network inputs on disk: filled once, whole or not there, in memory where there is no room."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.train.data import array_cache
from services.train.data.array_cache import KEPT, NoRoomForArray, cached_array
from shared.domain.arrays import Float32Array

SHAPE = (5, 1, 4, 4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(array_cache, "_checked", set())
    return tmp_path / f"mammostack-arrays-{os.getuid()}"


def rows() -> Iterator[Float32Array]:
    return (np.full(SHAPE[1:], number, np.float32) for number in range(SHAPE[0]))


def never() -> Iterator[Float32Array]:
    raise AssertionError("it was filled again")


class TestCachedArray:
    def test_an_array_is_filled_once_and_mapped_afterwards(self, folder: Path) -> None:
        first = cached_array("a", SHAPE, rows, np.float32)
        again = cached_array("a", SHAPE, never, np.float32)
        assert np.array_equal(first, again)
        assert again[3, 0, 0, 0] == 3
        assert not again.flags.writeable
        assert [file.name for file in folder.iterdir()] == ["a.npy"]
        assert folder.stat().st_mode & 0o077 == 0

    def test_what_interrupts_the_filling_goes_on_and_leaves_nothing(self, folder: Path) -> None:
        def broken() -> Iterator[Float32Array]:
            yield next(rows())
            raise ValueError("the store is away")

        with pytest.raises(ValueError, match="the store is away"):
            cached_array("a", SHAPE, broken, np.float32)
        assert list(folder.iterdir()) == []
        assert np.array_equal(cached_array("a", SHAPE, rows, np.float32)[4], np.full(SHAPE[1:], 4, np.float32))

    def test_without_room_it_is_made_in_memory(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full)
        assert cached_array("a", SHAPE, rows, np.float32)[2, 0, 0, 0] == 2
        assert list(folder.iterdir()) == []
        with pytest.raises(NoRoomForArray, match=r"no room for an array of 3725290.3 GiB.*set TMPDIR"):
            cached_array("large", (10**15, 1, 1, 1), never, np.float32)

    @pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
    def test_a_damaged_file_is_filled_again(self, folder: Path, content: bytes) -> None:
        cached_array("a", SHAPE, rows, np.float32)
        (folder / "a.npy").write_bytes(content)
        assert cached_array("a", SHAPE, rows, np.float32)[4, 0, 0, 0] == 4
        assert cached_array("a", SHAPE, never, np.float32)[4, 0, 0, 0] == 4

    @pytest.mark.parametrize("place", [-1, -80, 128])
    def test_a_file_whose_bytes_have_changed_is_filled_again(self, folder: Path, place: int) -> None:
        whole = cached_array("a", SHAPE, rows, np.float32).tobytes()
        content = bytearray((folder / "a.npy").read_bytes())
        content[place] ^= 1
        (folder / "a.npy").write_bytes(content)
        assert cached_array("a", SHAPE, rows, np.float32).tobytes() == whole
        assert cached_array("a", SHAPE, never, np.float32).tobytes() == whole

    def test_a_file_of_before_digests_were_kept_is_filled_again(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        np.save(folder / "a.npy", np.zeros(SHAPE, np.float32))
        assert cached_array("a", SHAPE, rows, np.float32)[4, 0, 0, 0] == 4

    def test_a_process_checks_a_file_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cached_array("a", SHAPE, rows, np.float32)
        cached_array("a", SHAPE, never, np.float32)
        monkeypatch.setattr(array_cache, "_digest", never)
        assert cached_array("a", SHAPE, never, np.float32)[4, 0, 0, 0] == 4

    def test_a_folder_of_somebody_else_is_not_read(self, folder: Path, tmp_path: Path) -> None:
        cached_array("a", SHAPE, lambda: (np.zeros(SHAPE[1:], np.float32) for _ in range(5)), np.float32)
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
        assert cached_array("a", SHAPE, rows, np.float32)[4, 0, 0, 0] == 4

    def test_the_last_used_arrays_stay(self, folder: Path) -> None:
        for number in range(KEPT + 2):
            cached_array(f"a{number}", SHAPE, rows, np.float32)
            os.utime(folder / f"a{number}.npy", (number, number))
        (folder / "begun.4194305.part").write_bytes(b"by a process that was killed")
        cached_array("last", SHAPE, rows, np.float32)
        kept = {file.name for file in folder.iterdir()}
        assert kept == {"last.npy", *(f"a{number}.npy" for number in range(3, KEPT + 2))}
