"""What gunicorn's configuration does to the process that it configures."""

import os
import subprocess
import sys

import pytest

from services.inference.admission.queueing import IN_HAND
from shared.local.commands import ROOT, inference_command

pytestmark = pytest.mark.external

NEEDED = {"MAMMO_STORE": "unused", "MAMMO_REDIS_URL": "redis://:unused@127.0.0.1:1/0"}

COUNT_ARENAS = """
import threading
together = threading.Barrier(16)
def allocate():
    together.wait()
    kept = [bytearray(1000) for _ in range(1000)]
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as told:
    stream = ctypes.c_void_p(libc.fopen(told.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(told.read().count(b"<heap nr="))
"""

COUNT_FAULTS = """
import resource
import numpy as np
def use(): [np.ones(4 << 20, np.uint8) for _ in range(8)]
for _ in range(10): use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100): use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def printed(code: str, **settings: str) -> int:
    """What `code` prints in a process that gunicorn's configuration has been read in, as `read`."""
    configuration = next(part for part in inference_command() if part.endswith("gunicorn.conf.py"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAMMO_CPU_THREADS": "2", **NEEDED, **settings}
    begin = "import ctypes, runpy, sys, tempfile; read = runpy.run_path(sys.argv[1])"
    command = [sys.executable, "-c", f"{begin}\n{code}", configuration]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory is meant")
def test_threads_that_hold_requests_share_the_memory_of_those_that_may_work() -> None:
    assert printed(COUNT_ARENAS) <= 2


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory is meant")
def test_the_memory_of_an_array_is_used_again_without_a_page_fault() -> None:
    assert printed(COUNT_FAULTS) < 1000  # of 8,000 pages each time


def test_opencv_takes_no_core_of_another_lane() -> None:
    assert printed("import cv2; print(cv2.getNumThreads())") == 1


def test_slow_clients_and_probes_find_threads_beside_those_in_hand_on_any_number_of_cores() -> None:
    two, sixteen = (printed("print(read['threads'])", MAMMO_CPU_THREADS=cores) for cores in ("2", "16"))
    assert two == IN_HAND * 2 + 16 + 16
    assert sixteen - two == IN_HAND * 14


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_ipv6_is_listened_on_in_brackets(host: str) -> None:
    assert printed("print(int(read['bind'] == '[::1]:8080'))", MAMMO_SERVE_HOST=host, MAMMO_SERVE_PORT="8080")


def test_threads_are_as_many_as_they_are_set_to() -> None:
    assert printed("print(read['threads'])", MAMMO_SERVE_THREADS="5") == 5
