"""A running inference service for tests and load: two published versions of a small network, under gunicorn."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.client import InferenceClient
from shared.local import broker
from shared.local.commands import ROOT, inference_command
from shared.store.directory import DirectoryStore
from tests.support.published import KEY, NETWORK, promote, publish_versions
from tests.support.servers import wait_until

HEADERS = {"Authorization": f"Bearer {KEY}"}


@dataclass
class Served:
    """`address` is host and port; `log` is what the service has written."""

    address: str
    process: "subprocess.Popen[bytes]"
    store: DirectoryStore
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def client(self) -> InferenceClient:
        return InferenceClient(self.url, KEY)


def published(folder: Path) -> DirectoryStore:
    """A store with v1, which is in production, and v2."""
    store = DirectoryStore(folder)
    publish_versions(store)
    promote(store, "v1")
    return store


@contextmanager
def running_service(
    store: DirectoryStore, folder: Path, command: Sequence[str] = (), **variables: str
) -> Iterator[Served]:
    """gunicorn as in production (or `command`), on loopback, once it is ready; `variables` are for its environment."""
    port = broker.free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAMMO_", "PROMETHEUS_"))}
    environment |= {
        "MAMMO_STORE": str(store.root),
        "MAMMO_REDIS_URL": "redis://:unused@127.0.0.1:1/0",
        "MAMMO_SERVE_NETWORK": NETWORK,
        "MAMMO_SERVE_PORT": str(port),
        "MAMMO_API_KEY": KEY,
        "MAMMO_API_KEY_SCOPES": "predict,metrics,admin",
        "MAMMO_PROMOTION_POLL_S": "0.1",
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    path = folder / "log"
    with path.open("wb") as log:
        process = subprocess.Popen(command or inference_command(), env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        served = Served(f"127.0.0.1:{port}", process, store, path)
        wait_until(served.client.ready, 40)
        yield served
    finally:
        process.terminate()
        process.wait()
