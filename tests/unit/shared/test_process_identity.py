"""The identity of a process: it holds while the process lives, and for no other that gets its id."""

import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from shared.process_identity import ProcessIdentity


class TestProcessIdentity:
    def test_this_process_is_found(self) -> None:
        this = ProcessIdentity.current()
        assert this.process == psutil.Process()

    def test_another_process_of_the_same_id_is_none_of_it(self) -> None:
        this = ProcessIdentity.current()
        assert replace(this, started=this.started - 60).process is None

    @pytest.mark.external
    def test_a_process_that_ended_is_not_found_before_and_after_it_was_waited_for(self) -> None:
        with subprocess.Popen((sys.executable, "-c", "input()"), stdin=subprocess.PIPE) as started:
            assert started.stdin
            identity = ProcessIdentity(started.pid, psutil.Process(started.pid).create_time())
            assert identity.process
            started.stdin.close()
            while psutil.Process(started.pid).status() != psutil.STATUS_ZOMBIE:
                pass
            assert identity.process is None
        assert identity.process is None
