"""Files of a folder or archive: listed once, read in any order, damage named."""

import tarfile
from pathlib import Path
from typing import Literal

import pytest

from shared.datasets.files import open_files
from shared.errors import DatasetError

CONTENT = {"a.txt": b"first", "b/c.txt": b"second" * 1000, "b/d.txt": b""}
PACKED: dict[str, Literal["w:", "w:gz", "w:bz2", "w:xz"]]
PACKED = {"tar": "w:", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


def folder(place: Path) -> Path:
    for name, data in CONTENT.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return place


def packed(place: Path, ending: str) -> Path:
    archive = place / f"films.{ending}"
    with tarfile.open(archive, PACKED[ending]) as tar:
        for name in CONTENT:
            tar.add(folder(place / "films") / name, arcname=name)
    return archive


class TestOpenFiles:
    @pytest.mark.parametrize("ending", ["", *PACKED])
    def test_files_are_read_in_any_order(self, tmp_path: Path, ending: str) -> None:
        files = open_files(packed(tmp_path, ending) if ending else folder(tmp_path / "films"))
        listed = list(files.list())
        assert {file.name: file.size for file in listed} == {name: len(data) for name, data in CONTENT.items()}
        assert {file.name: files.read(file) for file in reversed(listed)} == CONTENT
        assert list(files.list()) == listed

    def test_a_name_that_stands_twice_in_an_archive_is_listed_twice(self, tmp_path: Path) -> None:
        archive = packed(tmp_path, "tar")
        with tarfile.open(archive, "a") as tar:
            (tmp_path / "other").write_bytes(b"another")
            tar.add(tmp_path / "other", arcname="a.txt")
        files = open_files(archive)
        assert [files.read(file) for file in files.list() if file.name == "a.txt"] == [b"first", b"another"]

    def test_a_file_that_is_gone_is_named(self, tmp_path: Path) -> None:
        files = open_files(folder(tmp_path))
        (gone,) = (file for file in files.list() if file.name == "a.txt")
        (tmp_path / "a.txt").unlink()
        with pytest.raises(DatasetError, match=r"a\.txt: can't be read"):
            files.read(gone)
