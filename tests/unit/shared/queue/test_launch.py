"""The status with which a worker ends."""

import importlib
from pathlib import Path

import pytest

from shared.queue import launch


class EndedWorker:
    """Celery's worker, at whose end the status is 7."""

    exitcode = 7

    def __init__(self, **options: object) -> None:
        pass

    def start(self) -> None:
        pass


def test_a_worker_that_ended_in_an_error_says_so_by_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(launch, "keep_freed_memory", lambda _cores: None)
    monkeypatch.setattr(importlib.import_module("services.augment.tasks").app, "Worker", EndedWorker)
    with pytest.raises(SystemExit) as ended:
        launch.main("augment")
    assert ended.value.code == 7
