"""Processes start with what glibc must know of their memory: it is used again by the next image, and the next step."""

import subprocess
import sys

import pytest

from shared.local.commands import WORKERS, inference_command, worker_command

COUNT_ARENAS = """
import ctypes, tempfile, threading
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

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory is meant")


def printed(command: tuple[str, ...], code: str) -> int:
    """What `code` prints in a Python that starts as `command` does."""
    start = command[: command.index(sys.executable)]
    return int(subprocess.run((*start, sys.executable, "-c", code), check=True, stdout=subprocess.PIPE).stdout)


class TestInferenceCommand:
    @pytest.mark.parametrize("command", [*map(worker_command, WORKERS), inference_command()], ids=lambda each: each[-1])
    def test_a_command_runs_this_python(self, command: tuple[str, ...]) -> None:
        assert command[0] == "env"
        assert command[command.index(sys.executable) + 1] == "-m"

    def test_arenas_are_as_many_as_cores_and_two_at_least(self) -> None:
        arenas = {cores: inference_command(cores)[1].removeprefix("MALLOC_ARENA_MAX=") for cores in (1, 2, 5)}
        assert arenas == {1: "2", 2: "2", 5: "5"}

    @LINUX
    @pytest.mark.external
    def test_threads_that_hold_requests_share_the_memory_of_those_that_may_work(self) -> None:
        assert printed(inference_command(2), COUNT_ARENAS) <= 2
        assert printed(("env", "MALLOC_ARENA_MAX=8", sys.executable), COUNT_ARENAS) > 2, "the count counts nothing"


class TestWorkerCommand:
    @LINUX
    @pytest.mark.external
    @pytest.mark.parametrize("command", [worker_command("augment"), inference_command()], ids=["worker", "service"])
    @pytest.mark.parametrize("forked", [False, True], ids=["in the process", "in a child"])
    def test_the_memory_of_an_array_is_used_again_without_a_page_fault(
        self, command: tuple[str, ...], forked: bool
    ) -> None:
        code = f"import os, sys\nif {forked} and os.fork(): os.wait(); sys.exit()\n{COUNT_FAULTS}"
        assert printed(command, code) < 1000  # of 8,000 pages each time

    @LINUX
    @pytest.mark.external
    def test_a_process_that_trains_keeps_the_memory_of_the_largest_tensors(self) -> None:
        faults = COUNT_FAULTS.replace("4 << 20", "150 << 20").replace("range(8)", "range(1)")
        faults = faults.replace("range(10)", "range(1)").replace("range(100)", "range(3)")
        assert printed(worker_command("train"), faults) < 1000
