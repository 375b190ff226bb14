"""The broker of a stack over data that an earlier stack has left."""

from pathlib import Path

import pytest

from shared.local import broker
from shared.local.processes import ProcessDied, Processes
from shared.local.stack import BrokerDataUnreadable, _start_broker

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

    def test_data_of_nobody_known_end_the_broker_as_it_says_itself(self, tmp_path: Path) -> None:
        folder = left_behind(tmp_path / "broker", b"no file of a server")
        with pytest.raises(ProcessDied, match="broker ended with status"), Processes(tmp_path) as processes:
            _start_broker(processes, folder)

    def test_what_a_server_wrote_says_which_one_and_is_read_by_it_again(self, tmp_path: Path) -> None:
        assert broker.written_by(tmp_path / "broker") is None
        for _ in range(2):
            with Processes(tmp_path) as processes:
                config = _start_broker(processes, tmp_path / "broker")
            assert broker.written_by(tmp_path / "broker") == broker.server_version(config.command[0])
