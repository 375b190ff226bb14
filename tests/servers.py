"""Real servers for tests, on loopback, ended with the test by their own process ids."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from shared.embedded import broker


@contextmanager
def running_s3() -> Iterator[str]:
    """moto's server, which keeps objects in memory and honours conditional writes."""
    port = broker.free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(url)
            yield url
        finally:
            server.kill()


@contextmanager
def running_broker() -> Iterator[str]:
    """The server that the demo takes, configured as the demo does."""
    with tempfile.TemporaryDirectory() as folder:
        config = broker.configure(Path(folder))
        with subprocess.Popen(config.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as server:
            try:
                assert server.stdin is not None
                server.stdin.write(config.configuration)
                server.stdin.close()
                broker.wait_until_up(config.url, lambda: None)
                yield config.url
            finally:
                server.kill()


def _wait_for(url: str) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            requests.get(url, timeout=2)
            return
        except requests.RequestException:
            assert time.monotonic() < until, f"{url} did not answer within 30 s"
            time.sleep(0.1)
