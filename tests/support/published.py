"""Two published versions of a small network, for the tests of what serves them."""

from functools import cache

import torch

from services.train.fitting.serialise import network_to_bytes
from services.train.publishing.publish import model_files
from shared.modelling.networks import build
from shared.store import models
from shared.store.api_keys import new_key
from shared.store.interface import ObjectStore
from tests.support.builders import model_card, preprocessing_card

NETWORK, SIZE = "modified_cnn", 64
KEY = new_key()
"""Good for everything that the service does."""


@cache
def version_files() -> dict[str, dict[str, bytes]]:
    """Give the files of v1 and v2, which differ in their weights; exporting them takes seconds."""
    versions = {}
    for version, seed in (("v1", 1), ("v2", 2)):
        torch.manual_seed(seed)
        versions[version] = model_files(NETWORK, network_to_bytes(build(NETWORK)), SIZE, seed)
    return versions


def publish_versions(store: ObjectStore) -> None:
    """Publish v1 and v2 and promote neither."""
    for version, files in version_files().items():
        models.publish(store, model_card(NETWORK, version, preprocessing=preprocessing_card(SIZE)), files)


def promote(store: ObjectStore, version: str) -> None:
    models.promote(store, NETWORK, version, models.MoveReason(by="test", why="test"))
