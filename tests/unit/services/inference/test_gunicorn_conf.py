"""What gunicorn's configuration does to the process that it configures."""

import os
import subprocess
import sys

import pytest

from shared.embedded.commands import ROOT, inference_command

COUNT_ARENAS = """
import ctypes, runpy, sys, tempfile, threading
runpy.run_path(sys.argv[1])
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


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory is meant")
def test_threads_that_hold_requests_share_the_memory_of_those_that_may_work() -> None:
    configuration = next(part for part in inference_command() if part.endswith("gunicorn.conf.py"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAMMO_CPU_THREADS": "2"}
    command = [sys.executable, "-c", COUNT_ARENAS, configuration]
    counted = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert int(counted.stdout) <= 2
