"""The broker of a stack over data that an earlier stack has left."""

import errno
import shutil
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from shared.errors import QueueUnavailable
from shared.local import broker
from shared.local.commands import ROOT
from shared.local.processes import Processes
from shared.local.stack import BrokerDataUnreadable, FolderUnusable, PortTaken, _start_broker, running_stack

pytestmark = pytest.mark.external

# the first bytes of a file of a server to come, and the manifest that names it
TO_COME = b"REDIS9999\xfa\tredis-ver\x0699.0.1"
MANIFEST = "file appendonly.aof.1.base.rdb seq 1 type b\n"


def left_behind(folder: Path, base: bytes) -> Path:
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text(MANIFEST)
    (folder / "appendonlydir" / "appendonly.aof.1.base.rdb").write_bytes(base)
    return folder


class TestStartBroker:
    def test_data_of_a_server_that_this_one_can_not_read_are_told_with_both_versions(self, tmp_path: Path) -> None:
        folder = left_behind(tmp_path / "broker", TO_COME)
        server = broker.server_version(broker.configure(folder).command[0])
        assert server is not None
        with (
            pytest.raises(
                BrokerDataUnreadable, match=f"written by Redis 99.0.1, and {server} could not start"
            ) as refused,
            Processes(tmp_path) as processes,
        ):
            _start_broker(processes, folder)
        assert "`mammo resume`" in str(refused.value)

    def test_what_a_server_wrote_says_which_one_and_is_read_by_it_again(self, tmp_path: Path) -> None:
        assert broker.written_by(tmp_path / "broker") is None
        for _ in range(2):
            with Processes(tmp_path) as processes:
                config = _start_broker(processes, tmp_path / "broker")
            assert broker.written_by(tmp_path / "broker") == broker.server_version(config.command[0])


def test_data_that_no_server_wrote_are_told_with_what_the_broker_said(tmp_path: Path) -> None:
    folder = left_behind(tmp_path / "broker", b"no file of a server")
    with (
        pytest.raises(BrokerDataUnreadable, match=r"(?s)may be damaged.*remove the folder.*broker ended with status"),
        Processes(tmp_path) as processes,
    ):
        _start_broker(processes, folder)


@pytest.mark.parametrize("name", ['with "quotes"', "with 'one' and blanks", "back\\slash", "grün"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with Processes(folder) as processes:
        config = _start_broker(processes, folder / "broker")
        assert config.url
        assert any((folder / "broker").iterdir())


@pytest.mark.parametrize("place", [".", "lock", "logs", "broker", "processes.json"])
def test_a_folder_that_can_not_be_used_is_told_in_a_sentence_and_nothing_is_left_running(
    tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "demo"
    if place == ".":
        folder.write_text("a file")
    elif place in ("logs", "broker"):
        folder.mkdir()
        (folder / place).write_text("a file")
    else:
        (folder / place).mkdir(parents=True)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(FolderUnusable, match="choose another --folder"), running_stack(folder, str(tmp_path / "store")):
        raise AssertionError("it must not start")
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(PortTaken, match=rf"port {port} of 127\.0\.0\.1.*--port"),
            running_stack(tmp_path, str(tmp_path / "store"), port),
        ):
            raise AssertionError("it must not start")
    assert not (tmp_path / "broker").exists()


def test_a_machine_without_loopback_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, _address: object) -> None:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(QueueUnavailable, match=r"no address 127\.0\.0\.1"):
        broker.free_port()


def test_the_command_says_what_to_run_before_the_set_up(tmp_path: Path) -> None:
    shutil.copy(ROOT / "mammo", tmp_path / "mammo")
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    done = subprocess.run(
        [tmp_path / "mammo", "--help"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "make demo" in done.stderr
