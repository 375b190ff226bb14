"""A store with two published models of a small network, and the service over it, for the tests of inference."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from services.inference.app import create_app
from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.settings import InferenceProcessSettings
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.published import KEY, NETWORK, promote, publish_versions, version_files
from tests.support.settings import inference_settings
from tests.support.versions import wait_for_version


@pytest.fixture(scope="session")
def files() -> dict[str, dict[str, bytes]]:
    """What two versions of the network hold; v1 and v2 have other weights."""
    return version_files()


@pytest.fixture
def store(tmp_path: Path, files: dict[str, dict[str, bytes]]) -> ObjectStore:
    """Both versions published, none promoted."""
    store = DirectoryStore(tmp_path / "store")
    publish_versions(store)
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
    promote(store, "v1")
    wait_for_version(client, "v1")
    return client
