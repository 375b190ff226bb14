"""A store with two published models of a small network, for the tests of the inference service."""

from pathlib import Path

import pytest
import torch

from services.train.publish import model_files, network_to_bytes
from shared.modelling.card import PreprocessingCard
from shared.modelling.networks import build
from shared.store import registry
from shared.store.objects import DirectoryStore, ObjectStore
from tests.builders import model_card

NETWORK, SIZE = "modified_cnn", 64


@pytest.fixture(scope="session")
def files() -> dict[str, dict[str, bytes]]:
    """What two versions of the network hold; v1 and v2 have other weights."""
    versions = {}
    for version, seed in (("v1", 1), ("v2", 2)):
        torch.manual_seed(seed)
        versions[version] = model_files(NETWORK, network_to_bytes(build(NETWORK)), SIZE, seed)
    return versions


@pytest.fixture
def store(tmp_path: Path, files: dict[str, dict[str, bytes]]) -> ObjectStore:
    """Both versions published, none promoted."""
    store = DirectoryStore(tmp_path / "store")
    for version, content in files.items():
        card = model_card(NETWORK, version, preprocessing=PreprocessingCard(size=SIZE, segmentation=1))
        registry.publish(store, card, content)
    return store
