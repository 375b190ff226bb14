"""Compiled networks: made once, made again when damaged, never more than some, and none where there is no folder."""

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.modelling.engines import compiled_files
from shared.modelling.engines.compiled_files import CompiledFiles, key_of

CONTENT = bytes(range(256)) * 100


def content(found: tuple[mmap.mmap, int]) -> bytes:
    mapped, length = found
    return mapped[:length]


class Compiler:
    calls = 0

    def __call__(self) -> bytes:
        self.calls += 1
        return CONTENT


@pytest.fixture
def compiled() -> Compiler:
    return Compiler()


class TestCompiledFiles:
    def test_a_network_is_compiled_once(self, tmp_path: Path, compiled: Compiler) -> None:
        for _ in range(3):
            assert content(CompiledFiles(tmp_path / "new" / "folder").mapped("key", compiled)) == CONTENT
        assert compiled.calls == 1
        assert (tmp_path / "new" / "folder").stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize(
        "damage", [lambda c: c[:-1], lambda c: b"!" + c[1:], lambda c: c[:-1] + b"!", lambda _: b""]
    )
    def test_a_damaged_file_is_compiled_again(
        self, tmp_path: Path, compiled: Compiler, damage: Callable[[bytes], bytes]
    ) -> None:
        files = CompiledFiles(tmp_path)
        files.mapped("key", compiled)
        (path,) = tmp_path.iterdir()
        path.write_bytes(damage(path.read_bytes()))
        assert content(files.mapped("key", compiled)) == CONTENT
        assert content(files.mapped("key", compiled)) == CONTENT
        assert compiled.calls == 2

    def test_without_a_folder_or_one_that_is_writable_a_network_is_mapped_all_the_same(
        self, tmp_path: Path, compiled: Compiler
    ) -> None:
        (tmp_path / "file").touch()
        for folder in (None, tmp_path / "file"):
            assert content(CompiledFiles(folder).mapped("key", compiled)) == CONTENT
        assert compiled.calls == 2

    def test_a_file_of_another_user_is_not_taken(
        self, tmp_path: Path, compiled: Compiler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        CompiledFiles(tmp_path).mapped("key", lambda: b"theirs")
        monkeypatch.setattr(os, "geteuid", lambda: -1)
        assert content(CompiledFiles(tmp_path).mapped("key", compiled)) == CONTENT

    def test_the_oldest_networks_go_when_there_are_too_many(
        self, tmp_path: Path, compiled: Compiler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compiled_files, "_KEPT", 2)
        files = CompiledFiles(tmp_path)
        for age, key in ((300, "a"), (200, "b"), (100, "c")):
            files.mapped(key, compiled)
            path = tmp_path / f"{key}.compiled"
            os.utime(path, (path.stat().st_mtime - age,) * 2)
        assert sorted(path.stem for path in tmp_path.iterdir()) == ["b", "c"]

    def test_what_a_killed_process_left_goes(self, tmp_path: Path, compiled: Compiler) -> None:
        for name, age in ((".killed", 7200), (".being-written", 0)):
            (tmp_path / name).write_bytes(b"part")
            os.utime(tmp_path / name, (time.time() - age,) * 2)
        CompiledFiles(tmp_path).mapped("key", compiled)
        assert sorted(path.name for path in tmp_path.iterdir()) == [".being-written", "key.compiled"]


class TestKeyOf:
    def test_a_key_tells_graphs_engines_and_cpus_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = {key_of("1.0", "graph"), key_of("1.1", "graph"), key_of("1.0", "other")}
        monkeypatch.setattr(compiled_files, "cpu", lambda: "another CPU")
        assert len(keys | {key_of("1.0", "graph")}) == 4
        assert key_of("1.0", "graph") == key_of("1.0", "graph")
