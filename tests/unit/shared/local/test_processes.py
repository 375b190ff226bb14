"""No process outlives the one that started it, whatever way that one ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from shared.local.processes import ProcessDied, Processes, end_noted
from tests.support.servers import wait_until

pytestmark = pytest.mark.external

ROOT = Path(__file__).resolve().parents[4]
SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
STUBBORN = (sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(600)")
STARTER = """
import os, signal, sys, time
from pathlib import Path
from shared.local.processes import Processes
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs in the background ignores it
with Processes(Path(sys.argv[1])) as processes:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    print(processes.start("sleeper", sleeper, dict(os.environ)), flush=True)
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def starter(tmp_path: Path) -> "subprocess.Popen[str]":
    """A process that has started one of its own and waits."""
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def child_of(starter: "subprocess.Popen[str]") -> int:
    assert starter.stdout
    return int(starter.stdout.readline())


class TestProcesses:
    def test_end_with_the_block(self, tmp_path: Path) -> None:
        with Processes(tmp_path) as processes:
            pid = processes.start("sleeper", SLEEP, dict(os.environ))
            assert alive(pid)
            processes.check()
        assert not alive(pid)

    def test_end_when_the_block_fails(self, tmp_path: Path) -> None:
        started: list[int] = []

        def fail_after_start() -> None:
            with Processes(tmp_path) as processes:
                started.append(processes.start("sleeper", SLEEP, dict(os.environ)))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_after_start()
        assert not alive(started[0])

    def test_one_that_ignores_the_polite_signal_is_killed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.local.processes._GRACE_S", 0.3)
        with Processes(tmp_path) as processes:
            pid = processes.start("stubborn", STUBBORN, {**os.environ, "PYTHONUNBUFFERED": "1"})
            wait_until(lambda: (tmp_path / "logs" / "stubborn.log").read_text() == "1\n", 15)
        assert not alive(pid)

    def test_when_the_starter_is_killed_its_guard_ends_what_it_left(self, starter: "subprocess.Popen[str]") -> None:
        pid = child_of(starter)
        starter.kill()
        starter.wait()
        wait_until(lambda: not alive(pid), 15)

    def test_when_the_guard_is_killed_too_the_next_start_ends_what_was_left(
        self, starter: "subprocess.Popen[str]", tmp_path: Path
    ) -> None:
        pid = child_of(starter)
        for guard in psutil.Process(starter.pid).children():
            if guard.pid != pid:
                guard.kill()
        starter.kill()
        starter.wait()
        time.sleep(0.5)
        assert alive(pid)
        with Processes(tmp_path):
            assert not alive(pid)

    def test_a_number_that_the_system_gave_to_another_process_is_left_alone(self, tmp_path: Path) -> None:
        with subprocess.Popen(SLEEP) as stranger:
            (tmp_path / "processes.json").write_text(
                json.dumps([{"name": "old", "pid": stranger.pid, "born": 12345.0}])
            )
            assert end_noted(tmp_path) == []
            assert alive(stranger.pid)
            stranger.kill()

    def test_one_that_died_is_reported_with_the_end_of_its_log(self, tmp_path: Path) -> None:
        with Processes(tmp_path) as processes:
            processes.start(
                "hasty", (sys.executable, "-c", "print('no such film'); raise SystemExit(3)"), dict(os.environ)
            )
            wait_until(lambda: "no such film" in (tmp_path / "logs" / "hasty.log").read_text(), 15)
            time.sleep(0.3)
            with pytest.raises(ProcessDied, match=r"hasty ended with status 3(.|\n)*no such film"):
                processes.check()

    def test_an_interrupt_ends_everything(self, starter: "subprocess.Popen[str]") -> None:
        pid = child_of(starter)
        # Python may drop an exception that meets it in one of its own callbacks: only what waits is interrupted
        wait_until(lambda: psutil.Process(starter.pid).status() == psutil.STATUS_SLEEPING, 20)
        starter.send_signal(signal.SIGINT)
        starter.wait(20)
        assert not alive(pid)


def test_processes_end_with_their_starter_although_the_folder_was_moved_or_removed(tmp_path: Path) -> None:
    for change in ("moved", "removed"):
        folder = tmp_path / change
        folder.mkdir()
        starter = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(folder)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        pid = child_of(starter)
        if change == "moved":
            folder.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(folder)
        starter.kill()
        starter.wait()
        wait_until(lambda pid=pid: not alive(pid), 10)  # type: ignore[misc]


def test_a_block_ends_its_processes_although_its_folder_was_removed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with Processes(folder) as processes:
        pid = processes.start("sleeper", SLEEP, dict(os.environ))
        shutil.rmtree(folder)
    assert not alive(pid)


def test_a_copy_of_a_folder_ends_nothing_of_the_original(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    with Processes(original) as processes:
        pid = processes.start("sleeper", SLEEP, dict(os.environ))
        shutil.copytree(original, copy)
        assert end_noted(copy) == []
        with Processes(copy):
            assert alive(pid)
        assert alive(pid)
        processes.check()
