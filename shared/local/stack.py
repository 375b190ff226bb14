"""The complete system on this machine: broker, workers and inference.

All processes are stopped together, also after an error.
"""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from shared.errors import MammoError
from shared.local import broker
from shared.local.commands import ROOT, WORKERS, inference_command, worker_command
from shared.local.processes import ProcessDied, Processes
from shared.polling import wait_until
from shared.settings import BrokerSettings, ComputeSettings, QueueSettings, StoreSettings
from shared.store.api_keys import new_key

_READY_S = 60.0


class AlreadyRunning(MammoError):
    """Another demo holds the folder."""

    code = "already-running"


class FolderUnusable(MammoError):
    """A folder in which the stack can't keep its data."""

    code = "folder-unusable"


class PortTaken(MammoError):
    """A port that the inference service can't have."""

    code = "port-taken"


class BrokerDataUnreadable(MammoError):
    """Data that the broker can't start with: damaged, or written by another server."""

    code = "broker-data-unreadable"


@dataclass(frozen=True)
class Stack:
    """The running system: settings of its store and broker, processes, the service's address and key."""

    settings: QueueSettings
    url: str
    key: str
    processes: Processes


@contextmanager
def running_stack(
    folder: Path,
    store: str,
    port: int = 0,
    extra: dict[str, str] | None = None,
    of_worker: dict[str, dict[str, str]] | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> Iterator[Stack]:
    """Start all services and stop them at the end of the block.

    Args:
        folder: folder of the broker's data, logs and process records; one stack at a time.
        store: as in MAMMO_STORE.
        port: port of the inference service; 0: any free port.
        extra: additional environment variables of every process.
        of_worker: additional environment variables of the worker of a service.
        prepare: called before anything starts, once the processes of an earlier stack have ended.

    Raises:
        AlreadyRunning: another stack uses `folder`.
        FolderUnusable: `folder` can't hold the stack's data.
        PortTaken: the port can't be had.
        BrokerDataUnreadable: the broker can't start with the data in `folder`.
        ProcessDied: a service ended during the start.
    """
    with ExitStack() as exits:
        with _explaining(folder):
            folder = folder.resolve()
            folder.mkdir(parents=True, exist_ok=True)
            exits.enter_context(_only_one(folder))
            processes = exits.enter_context(Processes(folder))
            prepare()
            port, key = _free(port) if port else broker.free_port(), new_key()
            config = _start_broker(processes, folder / "broker")
        variables = {
            "MAMMO_STORE": store,
            "MAMMO_REDIS_URL": config.url,
            "MAMMO_SERVE_PORT": str(port),
            "MAMMO_API_KEY": key,
            "MAMMO_API_KEY_SCOPES": "predict,metrics",
            **(extra or {}),
        }
        with _explaining(folder):
            _start_services(processes, service_environment(variables), of_worker or {})
        settings = QueueSettings(
            store=StoreSettings(url=store, s3_endpoint_url=(extra or {}).get("MAMMO_S3_ENDPOINT_URL")),
            broker=BrokerSettings(redis_url=SecretStr(config.url)),
        )
        yield Stack(settings, f"http://127.0.0.1:{port}", key, processes)


def _start_services(processes: Processes, environment: dict[str, str], of_worker: dict[str, dict[str, str]]) -> None:
    for name in WORKERS:
        label = f"{name}-worker" if name == "inference" else name  # beside the service of that name
        processes.start(label, worker_command(name), environment | of_worker.get(name, {}))
    cores = ComputeSettings(cpu_threads=environment.get("MAMMO_CPU_THREADS", 0)).cores
    processes.start("inference", inference_command(cores), environment)


@contextmanager
def _explaining(folder: Path) -> Iterator[None]:
    """Say what is the matter with the folder of a stack."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename or folder}: {error.strerror or error}"
        raise FolderUnusable(
            f"the folder {folder} can't be used ({what}); free some space, correct its owner or choose another --folder"
        ) from error


def _free(port: int) -> int:
    """Return the port.

    Raises:
        PortTaken: it can't be had.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(
                f"port {port} of 127.0.0.1 can't be had ({error.strerror}); choose another --port, or 0 for a free one"
            ) from error
    return port


def _start_broker(processes: Processes, folder: Path) -> broker.BrokerConfig:
    """Start the broker on the data in its folder and wait until it answers.

    Raises:
        BrokerDataUnreadable: it ended, and there were data.
        ProcessDied: it ended.
    """
    config = broker.configure(folder)
    found_data = any(folder.iterdir())
    writer, server = broker.written_by(folder), broker.server_version(config.command[0])
    processes.start("broker", config.command, service_environment({}), stdin=config.configuration)
    try:
        broker.wait_until_up(config.url, processes.check)
    except ProcessDied as error:
        if not found_data:
            raise
        if writer in (None, server):
            raise BrokerDataUnreadable(
                f"the broker could not start with its data in {folder}, which may be damaged or another program's; "
                f"remove the folder and enqueue with `mammo resume` what it held ({error})"
            ) from error
        raise BrokerDataUnreadable(
            f"the broker's data in {folder} were written by {writer}, and {server} could not start with them; put that "
            f"server on PATH again, or remove the folder and enqueue with `mammo resume` what it held ({error})"
        ) from error
    return config


def wait_for(step: str, condition: Callable[[], bool], processes: Processes) -> None:
    """Wait until `condition()` is true.

    Raises:
        MammoError: it was not true within a minute.
        ProcessDied: a process has ended.
    """
    if not wait_until(condition, _READY_S, processes.check):
        raise MammoError(f"{step} took more than {_READY_S:.0f} s; see the logs")


def service_environment(variables: dict[str, str]) -> dict[str, str]:
    """Return this process's environment without MAMMO_ settings.

    A demo must not touch the store and broker that they name.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAMMO_", "PROMETHEUS_"))}
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another demo is running in {folder}; stop it with Ctrl-C first") from None
        yield
