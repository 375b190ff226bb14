"""Room for mapped files: it is waited for with a reason, and a folder that has it costs no pause."""

import errno
import logging
import os
from pathlib import Path

import pytest

from shared.errors import InputError
from shared.files import memory_folder, wait_for_room, write_whole

LOG = logging.getLogger("mammostack.test")


class TestWriteWhole:
    def test_the_new_content_replaces_the_old_one_and_nothing_is_left_besides(self, tmp_path: Path) -> None:
        for data in (b"old", b"new"):
            write_whole(tmp_path / "file", data)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert (tmp_path / "file").read_bytes() == b"new"


class TestMemoryFolder:
    def test_it_is_none_where_it_can_not_be_written_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert memory_folder() is None


class TestWaitForRoom:
    @pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_folder_is_waited_for_with_growing_pauses_and_a_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, full: int
    ) -> None:
        pauses: list[float] = []

        def fallocate(_file: int, _start: int, _size: int) -> None:
            if len(pauses) < 3:
                raise OSError(full, os.strerror(full))

        monkeypatch.setattr(os, "posix_fallocate", fallocate)
        monkeypatch.setattr("shared.files.time.sleep", pauses.append)
        wait_for_room(tmp_path, 1 << 20, LOG)
        assert pauses == [1, 2, 5]
        assert len(caplog.messages) == 3
        assert f"{tmp_path} has no room for 1048576 bytes ({os.strerror(full)}); free some" in caplog.messages[0]

    @pytest.mark.parametrize("other", [errno.EACCES, errno.EROFS, errno.EMFILE])
    def test_a_folder_that_takes_no_files_for_another_reason_is_told_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: int
    ) -> None:
        def fallocate(_file: int, _start: int, _size: int) -> None:
            raise OSError(other, os.strerror(other))

        def pause(_seconds: float) -> None:
            pytest.fail("it is waited for")

        monkeypatch.setattr(os, "posix_fallocate", fallocate)
        monkeypatch.setattr("shared.files.time.sleep", pause)
        with pytest.raises(InputError) as told:
            wait_for_room(tmp_path, 1 << 20, LOG)
        assert str(told.value).startswith("PROMETHEUS_MULTIPROC_DIR: ")
        assert f"{tmp_path} ({os.strerror(other)}); name a folder" in str(told.value)

    def test_a_missing_folder_is_made_and_a_file_in_its_place_is_told(self, tmp_path: Path) -> None:
        wait_for_room(tmp_path / "new" / "folder", 1 << 16, LOG)
        assert (tmp_path / "new" / "folder").is_dir()
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match=r"file \(File exists\)"):
            wait_for_room(tmp_path / "file", 1 << 16, LOG)

    def test_a_folder_with_room_costs_nothing_and_keeps_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        wait_for_room(tmp_path, 1 << 16, LOG)
        assert list(tmp_path.iterdir()) == []
        assert caplog.messages == []
