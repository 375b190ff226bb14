"""What gunicorn's configuration does to the process that it configures."""

import os
import subprocess
import sys

import pytest

from services.inference.admission.queueing import IN_HAND
from shared.local.commands import ROOT, inference_command

pytestmark = pytest.mark.external

NEEDED = {"MAMMO_STORE": "unused", "MAMMO_REDIS_URL": "redis://:unused@127.0.0.1:1/0"}


def printed(code: str, **settings: str) -> int:
    """What `code` prints in a process that gunicorn's configuration has been read in, as `read`."""
    configuration = next(part for part in inference_command() if part.endswith("gunicorn.conf.py"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAMMO_CPU_THREADS": "2", **NEEDED, **settings}
    begin = "import runpy, sys; read = runpy.run_path(sys.argv[1])"
    command = [sys.executable, "-c", f"{begin}\n{code}", configuration]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


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
