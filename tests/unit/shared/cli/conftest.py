"""The store that the commands of a test are set to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import settings
from shared.store.directory import DirectoryStore


@pytest.fixture
def store(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DirectoryStore]:
    """The store that the commands of a test are set to."""
    monkeypatch.setenv("MAMMO_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MAMMO_REDIS_URL", redis_url)
    settings.settings.cache_clear()
    yield DirectoryStore(tmp_path / "store")
    settings.settings.cache_clear()
