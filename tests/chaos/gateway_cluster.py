"""A gateway with all that it needs, each process of which can be hurt: archive, inference, broker and store as well."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from services.gateway.transport.dicomweb import Access, DicomWeb
from shared.local.broker import free_port
from shared.local.commands import gateway_command, inference_command, worker_command
from shared.store.s3 import S3Store
from tests.chaos.cluster import Cluster
from tests.support.pacs import archive_command
from tests.support.published import KEY, NETWORK
from tests.support.servers import wait_until
from tests.support.serving import published

PLACES = ("gateway", "exams", "exams", "archive", "inference")
"""Processes; two workers do the exams."""


class GatewayCluster(Cluster):
    """The films of exams are pushed by C-STORE, or are in the archive that is polled; results go to that archive."""

    def __init__(self, folder: Path, seed: int, say: Callable[[str], None]) -> None:
        super().__init__(folder, seed, say, services=PLACES)
        self.port, self.dicom_port, self.archive_port, self.inference_port = (free_port() for _ in range(4))
        self._models = folder / "models"

    @contextmanager
    def running(self) -> Iterator["GatewayCluster"]:
        published(self._models)
        with super().running():
            for port, path in ((self.port, "healthz"), (self.archive_port, "studies"), (self.inference_port, "readyz")):
                wait_until(lambda: _answers(f"http://127.0.0.1:{port}/{path}"), 60)  # noqa: B023  called at once
            yield self

    @property
    def archive(self) -> DicomWeb:
        """A client of the archive."""
        return DicomWeb("archive", Access(f"http://127.0.0.1:{self.archive_port}", timeout_s=5), lookback_days=36500)

    @property
    def store(self) -> S3Store:
        """The store of the gateway."""
        return S3Store(self.client, "chaos", "run")

    def command(self, service: str) -> tuple[str, ...]:
        """Return the command line of a process."""
        commands = {
            "gateway": gateway_command(),
            "exams": worker_command("gateway"),
            "archive": archive_command(self.archive_port, self.folder / "archive"),
            "inference": inference_command(),
        }
        return commands[service]

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables of a process; the inference service has a store of its own."""
        archive = f"http://127.0.0.1:{self.archive_port}"
        variables = {
            "MAMMO_API_KEY": KEY,
            "MAMMO_INFERENCE_URL": f"http://127.0.0.1:{self.inference_port}",
            "MAMMO_PACS_URL": archive,
            "MAMMO_PACS_POLL_S": "0.5",
            "MAMMO_PACS_STABLE_S": "3",
            "MAMMO_PACS_LOOKBACK_D": "36500",
            "MAMMO_GATEWAY_PORT": str(self.port),
            "MAMMO_GATEWAY_DICOM_PORT": str(self.dicom_port),
        }
        if name.startswith("inference"):
            variables |= {"MAMMO_STORE": str(self._models), "MAMMO_SERVE_NETWORK": NETWORK}
            variables |= {"MAMMO_SERVE_PORT": str(self.inference_port), "MAMMO_SERVE_ENGINE": "onnx"}
        return super().environment(name) | variables


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
