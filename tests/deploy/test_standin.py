"""The stand-in of the S3 server keeps what it was given, however it ends, and goes on to honour conditional writes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
import requests

from shared.errors import PreconditionFailed
from shared.local.broker import free_port
from shared.local.commands import ROOT
from shared.settings import StoreSettings
from shared.store.bucket import ensure_bucket
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from shared.store.self_test import check_conditional_writes
from tests.support.servers import wait_until

SERVE = ROOT / "deploy" / "docker" / "standin-s3" / "serve.py"


class Server:
    def __init__(self, folder: Path) -> None:
        self.url, self._folder = f"http://127.0.0.1:{free_port()}", folder
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(SERVE), str(self._folder), "127.0.0.1", self.url.rpartition(":")[2]]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, 30)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the server has ended"
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/moto-api/", timeout=2).ok
        return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "tests")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the credentials of another test
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def store(server: Server) -> ObjectStore:
    settings = StoreSettings(url="s3://films", s3_endpoint_url=server.url)
    assert ensure_bucket(settings) == "created bucket films"
    return open_store(settings)


@pytest.fixture
def restart(server: Server) -> Callable[[], None]:
    def kill_and_start() -> None:
        server.kill()
        server.start()

    return kill_and_start


class TestStandin:
    def test_what_was_written_outlives_a_kill(self, store: ObjectStore, restart: Callable[[], None]) -> None:
        objects = {
            "raw/mias/films/mdb001.pgm": bytes(range(256)) * 9,
            "raw/mias/films/ä +%41.pgm": b"odd",
            "raw/empty": b"",
        }
        for key, data in objects.items():
            store.put(key, b"before it is replaced")
            store.put(key, data)
        tag = store.read("raw/empty").etag
        restart()
        assert {key: store.get(key) for key in store.list("raw/")} == objects
        assert store.read("raw/empty").etag == tag

    def test_what_was_deleted_stays_deleted(self, store: ObjectStore, restart: Callable[[], None]) -> None:
        store.put("runs/r/plan.json", b"{}")
        store.delete("runs/r/plan.json")
        restart()
        assert list(store.list("runs/")) == []

    def test_an_object_in_parts_outlives_a_kill(self, store: ObjectStore, restart: Callable[[], None]) -> None:
        data = bytes(65 * 2**20)  # more than goes up as one
        store.put("models/resnet50/v1/model.onnx", data)
        restart()
        assert store.get("models/resnet50/v1/model.onnx") == data

    def test_conditions_hold_before_and_after(self, store: ObjectStore, restart: Callable[[], None]) -> None:
        store.put("runs/r/plan.json", b"{}", if_absent=True)
        restart()
        check_conditional_writes(store)
        with pytest.raises(PreconditionFailed):
            store.put("runs/r/plan.json", b"another", if_absent=True)

    def test_of_many_writers_one_wins_and_the_file_holds_its_object(
        self, store: ObjectStore, restart: Callable[[], None]
    ) -> None:
        def write(number: int) -> bytes | None:
            data = str(number).encode()
            with suppress(PreconditionFailed):
                store.put("runs/r/end.json", data, if_absent=True)
                return data
            return None

        with ThreadPoolExecutor(16) as pool:
            won = [data for data in pool.map(write, range(16)) if data is not None]
        restart()
        assert [store.get("runs/r/end.json")] == won
