"""The part of the demo with an archive: films go in as from a mammography unit, results come out beside them."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from shared.cli.console import console
from shared.errors import ServiceUnavailable
from shared.local.broker import free_port
from shared.local.commands import gateway_command, worker_command
from shared.local.stack import Stack, service_environment

_EXAMS = 2
_LONGEST_S = 120


def show_archive(stack: Stack, folder: Path, check: Callable[[], None]) -> None:
    """Start an archive on loopback, the gateway and its worker, send exams, and list their results.

    Raises:
        ServiceUnavailable: there were no results in time.
    """
    archive, http, dicom = free_port(), free_port(), free_port()
    address = f"http://127.0.0.1:{archive}"
    settings = {
        "MAMMO_STORE": stack.settings.store.url,
        "MAMMO_REDIS_URL": stack.settings.broker.redis_url.get_secret_value(),
        "MAMMO_INFERENCE_URL": stack.url,
        "MAMMO_API_KEY": stack.key,
        "MAMMO_PACS_DEST": address,
        "MAMMO_PACS_POLL_S": "1",
        "MAMMO_GATEWAY_PORT": str(http),
        "MAMMO_GATEWAY_DICOM_PORT": str(dicom),
    }
    variables = service_environment(settings)
    served = (sys.executable, "-m", "services.gateway.local_archive", str(archive), str(folder / "archive"))
    for name, command in (
        ("archive", served),
        ("gateway", gateway_command()),
        ("gateway-worker", worker_command("gateway")),
    ):
        stack.processes.start(name, command, variables)
    console.print(f"\n[bold]An archive[/] (DICOMweb) at {address}, and the gateway to it; films are SYNTHETIC")
    _retried(("send", str(_EXAMS)), variables, check)
    pictures = folder / "pictures"
    listed = _retried(("show", str(_EXAMS), str(pictures)), variables, check)
    console.print(f"results in the archive, beside the films:\n{listed}", markup=False)
    console.print(f"look at: {address}/studies, and the pictures in {pictures}")


def _retried(arguments: tuple[str, ...], variables: dict[str, str], check: Callable[[], None]) -> str:
    """Run the demo's program of the gateway until it succeeds; return what it prints."""
    end = time.monotonic() + _LONGEST_S
    command = (sys.executable, "-m", "services.gateway.demo", *arguments)
    while time.monotonic() < end:
        check()
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.rstrip()
        time.sleep(1)
    raise ServiceUnavailable("the archive got no results in time; see logs/gateway-worker.log of the demo's folder")
