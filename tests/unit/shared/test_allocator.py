"""Memory that images took is used again by the next one, and that of gradients by those of the next step."""

import subprocess
import sys

import pytest

from shared.local.commands import ROOT
from tests.support.memory import COUNT_FAULTS

pytestmark = pytest.mark.external

KEEP = "from shared.allocator import keep_freed_memory; keep_freed_memory(1)"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory is meant")
@pytest.mark.parametrize("forked", [False, True], ids=["in the process", "in a child"])
def test_the_memory_of_an_array_is_used_again_without_a_page_fault(forked: bool) -> None:
    code = f"import os, sys\n{KEEP}\nif {forked} and os.fork(): os.wait(); sys.exit()\n{COUNT_FAULTS}"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert int(told) < 1000


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory is meant")
def test_a_process_that_trains_keeps_the_memory_of_the_largest_tensors() -> None:
    faults = COUNT_FAULTS.replace("4 << 20", "150 << 20").replace("range(8)", "range(1)")
    faults = faults.replace("range(10)", "range(1)").replace("range(100)", "range(3)")
    code = f"from shared.allocator import keep_all_memory; keep_all_memory()\n{faults}"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert int(told) < 1000
