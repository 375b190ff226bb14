"""The preparation of a worker: whatever fails in it ends the worker with a sentence."""

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.queue.process import WorkerProcess
from shared.settings import BrokerSettings, StoreSettings, WorkerProcessSettings, WorkerSettings

pytestmark = pytest.mark.external


class TestWorkerProcess:
    def test_a_port_of_metrics_that_is_taken_ends_the_worker_with_the_setting(
        self, tmp_path: Path, redis_url: str
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            process = WorkerProcess(
                WorkerProcessSettings(
                    store=StoreSettings(url=str(tmp_path)),
                    broker=BrokerSettings(redis_url=SecretStr(redis_url)),
                    worker=WorkerSettings(metrics_port=taken.getsockname()[1], metrics_host="127.0.0.1"),
                )
            )
            with pytest.raises(SystemExit, match=r"^mammostack: MAMMO_METRICS_PORT: .* can't be had"):
                process._prepare()

    def test_a_child_without_a_folder_of_metrics_ends_its_worker_with_a_sentence(
        self, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "file"))
        broker = BrokerSettings(redis_url=SecretStr(redis_url))
        process = WorkerProcess(WorkerProcessSettings(store=StoreSettings(url=str(tmp_path)), broker=broker))
        ended: list[bool] = []
        monkeypatch.setattr(process, "end", lambda: ended.append(True))
        with pytest.raises(SystemExit):
            process._begin_child()
        assert ended == [True]
        assert "PROMETHEUS_MULTIPROC_DIR: no file can be made" in caplog.text

    def test_a_store_that_is_a_file_ends_the_worker_with_the_setting(self, tmp_path: Path, redis_url: str) -> None:
        (tmp_path / "store").write_text("a file")
        process = WorkerProcess(
            WorkerProcessSettings(
                store=StoreSettings(url=str(tmp_path / "store")), broker=BrokerSettings(redis_url=SecretStr(redis_url))
            )
        )
        with pytest.raises(SystemExit, match=r"^mammostack: .*MAMMO_STORE"):
            process._prepare()
