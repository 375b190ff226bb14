"""What a test starts outside its process is noticed."""

import socket
import subprocess
import sys

import pytest

from tests.support.outside import noticing


class TestNoticing:
    @pytest.mark.external
    def test_a_process_is_noticed(self) -> None:
        with noticing() as events:
            subprocess.run([sys.executable, "-c", ""], check=True)
        assert "subprocess.Popen" in events

    @pytest.mark.external
    def test_a_port_is_noticed_also_by_those_around(self) -> None:
        with noticing() as around, noticing() as events, socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
        assert around == events == ["socket.bind"]

    @pytest.mark.external
    def test_what_is_started_afterwards_is_not_noticed(self) -> None:
        with noticing() as events:
            pass
        subprocess.run([sys.executable, "-c", ""], check=True)
        assert events == []
