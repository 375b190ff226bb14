"""The status with which a worker ends."""

from pathlib import Path

import pytest
from celery import Celery

from shared.queue import launch


class EndedWorker:
    """Celery's worker, at whose end the status is 7."""

    exitcode = 7

    def __init__(self, **options: object) -> None:
        pass

    def start(self) -> None:
        pass


class TestLaunch:
    def test_a_worker_that_ended_in_an_error_says_so_by_its_status(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in (("STORE", str(tmp_path)), ("REDIS_URL", "redis://:unused@127.0.0.1:1/0")):
            monkeypatch.setenv(f"MAMMO_{name}", value)
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        monkeypatch.setattr("shared.logs.configure_logs", lambda _level: None)
        monkeypatch.setattr("shared.queue.process.WorkerProcess.listen", lambda _process: None)
        monkeypatch.setattr(Celery, "Worker", EndedWorker)
        with pytest.raises(SystemExit) as ended:
            launch.main("augment")
        assert ended.value.code == 7

    def test_a_folder_of_metrics_that_can_not_be_made_ends_the_worker_with_a_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "file"))
        with pytest.raises(SystemExit, match=r"^mammostack: PROMETHEUS_MULTIPROC_DIR: .*File exists"):
            launch.main("augment")
