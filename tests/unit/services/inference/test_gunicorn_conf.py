"""What gunicorn's configuration does to the process that it configures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.inference.admission.queueing import IN_HAND
from shared.local.commands import ROOT, inference_command

pytestmark = pytest.mark.external

NEEDED = {"MAMMO_STORE": "unused", "MAMMO_REDIS_URL": "redis://:unused@127.0.0.1:1/0"}


def printed(code: str, before: str = "", **settings: str) -> int:
    """What `code` prints in a process that gunicorn's configuration has been read in, as `read`."""
    end = ended(code, before, **settings)
    assert end.returncode == 0, end.stderr
    return int(end.stdout)


def ended(code: str, before: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """How a process ends that does `before`, reads gunicorn's configuration, as `read`, and does `code`."""
    configuration = next(part for part in inference_command() if part.endswith("gunicorn.conf.py"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAMMO_CPU_THREADS": "2", **NEEDED, **settings}
    read = "import runpy, sys; read = runpy.run_path(sys.argv[1])"
    command = [sys.executable, "-c", f"{before}\n{read}\n{code}", configuration]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


class TestGunicornConf:
    def test_opencv_takes_no_core_of_another_lane(self) -> None:
        assert printed("import cv2; print(cv2.getNumThreads())") == 1

    def test_slow_clients_and_probes_find_threads_beside_those_in_hand_on_any_number_of_cores(self) -> None:
        two, sixteen = (printed("print(read['threads'])", MAMMO_CPU_THREADS=cores) for cores in ("2", "16"))
        assert two == IN_HAND * 2 + 16 + 16
        assert sixteen - two == IN_HAND * 14

    @pytest.mark.parametrize("host", ["::1", "[::1]"])
    def test_an_address_of_ipv6_is_listened_on_in_brackets(self, host: str) -> None:
        assert printed("print(int(read['bind'] == '[::1]:8080'))", MAMMO_SERVE_HOST=host, MAMMO_SERVE_PORT="8080")

    def test_threads_are_as_many_as_they_are_set_to(self) -> None:
        assert printed("print(read['threads'])", MAMMO_SERVE_THREADS="5") == 5

    def test_each_start_of_a_child_is_counted(self) -> None:
        count = "from shared import metrics; print(int(metrics.CHILDREN_STARTED._value.get()))"
        assert printed(f"read['post_fork'](None, None); {count}") == 1

    def test_files_that_a_killed_process_left_make_room_before_room_is_waited_for(self, tmp_path: Path) -> None:
        (tmp_path / "counter_1.db").touch()
        look = f"""
import os, shared.files
shared.files.wait_for_room = lambda *_: print(len(os.listdir({str(tmp_path)!r})))
"""
        assert printed("", before=look, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) == 0

    def test_a_folder_of_metrics_that_can_not_be_made_ends_the_start_with_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        end = ended("", PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "file"))
        assert end.returncode == 1
        assert end.stderr.startswith("mammostack: PROMETHEUS_MULTIPROC_DIR: ")
        assert "Traceback" not in end.stderr

    def test_a_child_without_its_folder_of_metrics_ends_gunicorn_with_a_sentence(self, tmp_path: Path) -> None:
        code = f"""
from types import SimpleNamespace
import os, shutil
shutil.rmtree({str(tmp_path / "metrics")!r})
open({str(tmp_path / "metrics")!r}, "w").close()
read["post_fork"](SimpleNamespace(WORKER_BOOT_ERROR=3), None)
"""
        end = ended(code, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics"))
        assert (end.returncode, "Traceback" in end.stderr) == (3, False)
        assert "PROMETHEUS_MULTIPROC_DIR: no file can be made" in end.stderr
