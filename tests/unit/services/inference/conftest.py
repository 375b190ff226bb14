"""A store with two published models of a small network, and the service over it, for the tests of inference."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from flask import Flask
from flask.testing import FlaskClient

from services.inference.app import create_app
from services.train.fitting.serialise import network_to_bytes
from services.train.publishing.publish import model_files
from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.modelling.networks import build
from shared.settings import InferenceProcessSettings
from shared.store import models
from shared.store.api_keys import new_key
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.builders import model_card, preprocessing_card
from tests.support.settings import inference_settings
from tests.support.versions import wait_for_version

NETWORK, SIZE = "modified_cnn", 64
KEY = new_key()


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
        card = model_card(NETWORK, version, preprocessing=preprocessing_card(SIZE))
        models.publish(store, card, content)
    return store


@pytest.fixture(scope="session")
def film() -> np.ndarray:
    return render(np.random.default_rng(3), "left", "G", Label.MALIGNANT).pixels


@pytest.fixture
def serve() -> Iterator[Callable[[InferenceProcessSettings], FlaskClient]]:
    """Starts a service, which ends with the test, and asks it with a key that is good for everything."""
    apps: list[Flask] = []

    def start(config: InferenceProcessSettings) -> FlaskClient:
        apps.append(create_app(config))
        client = apps[-1].test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {KEY}"
        return client

    yield start
    for app in apps:
        app.extensions["inference"].close()


@pytest.fixture
def client(store: ObjectStore, serve: Callable[[InferenceProcessSettings], FlaskClient]) -> FlaskClient:
    assert isinstance(store, DirectoryStore)
    serving = {"network": NETWORK, "engine": "onnx", "promotion_poll_s": 0.02, "max_image_mb": 2}
    return serve(inference_settings(str(store.root), key=KEY, **serving))


@pytest.fixture
def ready(client: FlaskClient, store: ObjectStore) -> FlaskClient:
    """A service with v1 in production."""
    models.promote(store, NETWORK, "v1", models.MoveReason(by="test", why="test"))
    wait_for_version(client, "v1")
    return client
