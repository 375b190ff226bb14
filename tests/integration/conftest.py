"""The inference service under gunicorn, and films to ask it about."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_png
from shared.store.directory import DirectoryStore
from tests.support.serving import Served, published, running_service


@pytest.fixture(scope="module")
def films() -> list[bytes]:
    sides = ("left", "right", "left", "right")
    return [
        encode_png(render(np.random.default_rng(n), side, "G", Label.BENIGN).pixels) for n, side in enumerate(sides)
    ]


@pytest.fixture(scope="session")
def store_of_models(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    """Two published versions, the first in production."""
    return published(tmp_path_factory.mktemp("models") / "store")


@pytest.fixture
def served(store_of_models: DirectoryStore, tmp_path: Path) -> Iterator[Served]:
    with running_service(store_of_models, tmp_path) as running:
        yield running
