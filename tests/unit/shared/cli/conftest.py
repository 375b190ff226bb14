"""The store that the commands of a test are set to."""

from pathlib import Path

import pytest

from shared.store.directory import DirectoryStore


@pytest.fixture
def store(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    """The store that the commands of a test are set to."""
    monkeypatch.setenv("MAMMO_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MAMMO_REDIS_URL", redis_url)
    return DirectoryStore(tmp_path / "store")
