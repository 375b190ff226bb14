"""Archives and gateways for tests: the local archive, Orthanc in a network of its own, and the gateway's processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from services.gateway.transport.dicomweb import Access, DicomWeb
from shared.local.broker import free_port
from shared.local.commands import ROOT, gateway_command, worker_command
from tests.support.servers import wait_until


def archive_command(port: int, folder: Path) -> tuple[str, ...]:
    """Return the command line of the local archive."""
    return (sys.executable, "-m", "services.gateway.local_archive", str(port), str(folder))


class ArchiveProcess:
    """The local archive as a process that can be killed and started again on its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = archive_command(self.port, self.folder)
        self._process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        wait_until(lambda: _answers(f"{self.url}/studies"), 20)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def client(self) -> DicomWeb:
        return DicomWeb("archive", Access(self.url), lookback_days=36500)


@dataclass
class GatewayProcesses:
    """The gateway and its worker; `variables` are their settings, `log` is what both have written."""

    variables: dict[str, str]
    folder: Path
    port: int = field(default_factory=free_port)
    dicom_port: int = field(default_factory=free_port)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("MAMMO_", "PROMETHEUS_"))
        }
        return {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "MAMMO_GATEWAY_PORT": str(self.port),
            "MAMMO_GATEWAY_DICOM_PORT": str(self.dicom_port),
            "MAMMO_PACS_POLL_S": "0.3",
            "MAMMO_PACS_LOOKBACK_D": "36500",
            "MAMMO_PACS_STABLE_S": "2",
            **self.variables,
        }

    @property
    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def start(self, *names: str) -> None:
        commands = {"gateway": gateway_command(), "worker": worker_command("gateway")}
        for name in names or commands:
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    commands[name],
                    env=self.environment,
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        if "gateway" in (names or commands):
            wait_until(lambda: _answers(f"http://127.0.0.1:{self.port}/healthz"), 30)

    def kill(self, *names: str) -> None:
        """Kill processes with their children, which are a group of their own."""
        for name in names or list(self.processes):
            process = self.processes.pop(name)
            os.killpg(process.pid, 9)
            process.wait()


@contextmanager
def running_gateway(folder: Path, **variables: str) -> Iterator[GatewayProcesses]:
    """The gateway and its worker, once they listen."""
    folder.mkdir(parents=True, exist_ok=True)
    gateway = GatewayProcesses(variables, folder)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.kill()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def wait_for(condition: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    """Wait until a condition holds; fail with an explanation."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, explain()
        time.sleep(0.2)
