"""`mammo ingest --workers` by real processes, over a real broker and an S3 server over HTTP."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import numpy as np
import pytest

from shared.errors import ObjectNotFound
from shared.imaging.formats.decode import encode_pgm
from shared.local.commands import ROOT, worker_command
from shared.store.ingest import read_dataset, stored_manifest
from shared.store.ingest_units import UNIT_FILMS
from shared.store.s3 import S3Store
from tests.support.servers import Fault, FaultyS3, running_broker

UNITS = 5
FILMS = UNITS * UNIT_FILMS
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}


class Machine:
    """Processes of a test that share a bucket and a broker, and what they wrote to the bucket."""

    def __init__(self, server: FaultyS3, broker: str, folder: Path) -> None:
        self.server, self._folder = server, folder
        self._environment = {
            **os.environ,
            "MAMMO_STORE": "s3://films",
            "MAMMO_S3_ENDPOINT_URL": server.url,
            "MAMMO_REDIS_URL": broker,
        }
        self.started: list[subprocess.Popen[bytes]] = []
        self.puts: Counter[str] = Counter()
        self.held = threading.Event()
        self.hold_back = ""
        server.fault = self._seen
        client = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1")
        client.create_bucket(Bucket="films")
        self.store = S3Store(client, "films", "")

    def _seen(self, method: str, path: str) -> Fault | None:
        key = path.removeprefix("/films/")
        if method == "PUT" and self.hold_back and key.endswith(self.hold_back):
            self.held.set()
            return Fault(delay=600)  # the server's end cuts it short
        if method == "PUT":
            self.puts[key] += 1
        return None

    def worker(self) -> "subprocess.Popen[bytes]":
        return self._start(*worker_command("augment"))

    def ingest(self, source: Path, dataset: str) -> "subprocess.Popen[bytes]":
        return self._start(sys.executable, "-m", "shared.cli", "ingest", str(source), "--dataset", dataset, "--workers")

    def output(self, process: "subprocess.Popen[bytes]") -> str:
        return self._log(self.started.index(process)).read_text(errors="replace")

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(self, *command: str) -> "subprocess.Popen[bytes]":
        with self._log(len(self.started)).open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        self.started.append(process)
        return process

    def _log(self, number: int) -> Path:
        return self._folder / f"{number}.log"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    for name, value in _CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with FaultyS3() as server, running_broker() as broker:
        running = Machine(server, broker, tmp_path)
        try:
            yield running
        finally:
            for process in running.started:
                running.kill(process)


def write_films(folder: Path, seed: int) -> Path:
    """Films in the layout of MIAS, different for each seed."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(1, FILMS + 1):
        (folder / f"mdb{number:03d}.pgm").write_bytes(encode_pgm(rng.integers(0, 255, (48, 64), np.uint8)))
        rows.append(f"mdb{number:03d} G NORM\n")
    (folder / "Info.txt").write_text("".join(rows))
    return folder


def films_of(source: Path) -> dict[str, bytes]:
    return {file.stem: file.read_bytes() for file in source.glob("*.pgm")}


def stored_films(machine: Machine, dataset: str) -> dict[str, bytes]:
    films = stored_manifest(machine.store, dataset).films
    return {film.id: machine.store.get(f"raw/{dataset}/{film.key}") for film in films}


def finished_units(machine: Machine, dataset: str) -> list[str]:
    return [key for key in machine.store.list(f"raw/{dataset}/") if re.search(r"/units/\d+\.json$", key)]


class TestIngestByWorkers:
    def test_after_a_kill_of_worker_and_command_a_second_call_does_only_the_rest(
        self, machine: Machine, tmp_path: Path
    ) -> None:
        source = write_films(tmp_path / "films", seed=1)
        machine.hold_back = "/units/000003.json"
        worker, command = machine.worker(), machine.ingest(source, "mias")
        assert machine.held.wait(120), machine.output(command)
        machine.kill(worker)
        machine.kill(command)
        assert len(finished_units(machine, "mias")) == 3
        with pytest.raises(ObjectNotFound):
            read_dataset(machine.store, "mias")
        machine.hold_back = ""
        machine.worker()
        again = machine.ingest(source, "mias")
        assert again.wait(120) == 0, machine.output(again)
        assert f"{FILMS - 3 * UNIT_FILMS} films written" in machine.output(again)
        assert stored_films(machine, "mias") == films_of(source)
        written = {key: count for key, count in machine.puts.items() if re.search(r"/films/|/units/\d", key)}
        assert (len(written), set(written.values())) == (FILMS + UNITS, {1})
        assert finished_units(machine, "mias") == []

    def test_of_two_at_once_under_one_name_one_becomes_the_data_set_whole(
        self, machine: Machine, tmp_path: Path
    ) -> None:
        sources = [write_films(tmp_path / f"films{seed}", seed) for seed in (1, 2)]
        for _ in range(2):
            machine.worker()
        commands = [machine.ingest(source, "mias") for source in sources]
        codes = [command.wait(120) for command in commands]
        assert sorted(map(bool, codes)) == [False, True], [machine.output(command) for command in commands]
        winner = codes.index(0)
        assert "another name" in machine.output(commands[1 - winner])
        assert stored_films(machine, "mias") == films_of(sources[winner])
        assert len([key for key in machine.store.list("raw/mias/") if "/films/" in key]) == FILMS

    def test_two_at_once_under_two_names_each_have_their_own_films(self, machine: Machine, tmp_path: Path) -> None:
        sources = {name: write_films(tmp_path / name, seed) for seed, name in enumerate(("one", "other"))}
        for _ in range(2):
            machine.worker()
        commands = [machine.ingest(source, name) for name, source in sources.items()]
        assert [command.wait(120) for command in commands] == [0, 0], [machine.output(each) for each in commands]
        for name, source in sources.items():
            assert stored_films(machine, name) == films_of(source)
