"""A cluster of real processes on loopback that can be hurt: a broker with its log on disk, an S3 server over HTTP, two
workers of each kind, and a supervisor that starts again what has died, as an orchestrator would.
"""

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import redis
from pydantic import SecretStr

from shared.local import broker
from shared.local.commands import ROOT, worker_command
from shared.queue.broker import Broker, connect
from shared.settings import BrokerSettings
from shared.store.s3 import S3Store
from tests.support.servers import Fault, FaultyS3

SERVICES = ("augment", "segment", "train")
TWO_OF_EACH = (*SERVICES, *SERVICES)
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "chaos", "AWS_SECRET_ACCESS_KEY": "chaos", "AWS_EC2_METADATA_DISABLED": "true"}
_MOUNTED = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@"')
"""Before a folder and a command: the folder is a file system in memory, for the command alone."""

_PRELOAD = Path(__file__).parent / "preload"


@dataclass
class Worker:
    """A place for a worker, and the process that has it now."""

    name: str
    service: str
    process: "subprocess.Popen[bytes]"
    code: Path = ROOT


class Cluster:
    """`say` gets a line for everything that is done to the cluster.

    Args:
        services: those of its processes.
        last_release: code of another release whose workers take part; None: none does.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        say: Callable[[str], None],
        services: Sequence[str] = TWO_OF_EACH,
        last_release: Path | None = None,
    ) -> None:
        self.last_release = last_release
        self.chance = random.Random(seed)  # noqa: S311  no secret
        self.say = say
        self.folder = folder
        self.store_server = FaultyS3()
        self._services = services
        self.away_s = 20.0
        self.private_tmp = _can_mount()
        self._config = broker.configure(folder / "broker")
        self._broker: subprocess.Popen[bytes] | None = None
        self.places: list[Worker] = []
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._timers: list[threading.Timer] = []

    # ---- beginning and end -------------------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator["Cluster"]:
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        os.environ.update(CREDENTIALS)
        with self.store_server:
            self.client.create_bucket(Bucket="chaos")
            supervisor = threading.Thread(target=self._supervise, daemon=True)
            try:
                self._start_broker()
                for number, service in enumerate(self._services):
                    name = f"{service}-{number}"
                    self.places.append(Worker(name, service, self._start_worker(name, service)))
                supervisor.start()
                yield self
            finally:
                self._ended.set()
                if supervisor.is_alive():
                    supervisor.join()
                self.settle()
                for place in self.places:
                    _kill_group(place.process)
                if self._broker:
                    _kill_group(self._broker)

    @property
    def twice(self) -> bool:
        """Whether every message is delivered twice."""
        return (self.folder / "twice").exists()

    @property
    def client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.store_server.url, region_name="us-east-1")

    @property
    def settings(self) -> BrokerSettings:
        return BrokerSettings(redis_url=SecretStr(self._config.url))

    def empty_store(self) -> S3Store:
        """The store of the workers, with nothing in it."""
        store = S3Store(self.client, "chaos", "run")
        for key in list(store.list("")):
            store.delete(key)
        return store

    def queue(self) -> Broker:
        return Broker.open(self.settings)

    @property
    def redis(self) -> "redis.Redis":
        return connect(self.settings)

    def _start_broker(self) -> None:
        with (self.folder / "logs" / "broker.log").open("ab") as log:
            self._broker = subprocess.Popen(
                self._config.command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                restore_signals=False,  # SIGXFSZ stays ignored: `fill_broker_disk` limits the size of its files
            )
        assert self._broker.stdin is not None
        self._broker.stdin.write(self._config.configuration)
        self._broker.stdin.close()
        broker.wait_until_up(self._config.url, lambda: None)

    def command(self, service: str) -> tuple[str, ...]:
        """Return the command line of a service's process."""
        return worker_command(service)

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables of the process of this name."""
        tmp = self._tmp_of(name)
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(("MAMMO_", "PROMETHEUS_"))},
            **CREDENTIALS,
            "TMPDIR": str(tmp),
            **({"PROMETHEUS_MULTIPROC_DIR": str(tmp / "metrics")} if name.startswith(("augment", "segment")) else {}),
            "CHAOS_CLOCK": str(self.folder / f"{name}.clock"),
            "CHAOS_TWICE": str(self.folder / "twice"),
            "CHAOS_DEADLY": str(self.folder / "deadly"),
            "MAMMO_STORE": "s3://chaos/run",
            "MAMMO_S3_ENDPOINT_URL": self.store_server.url,
            "MAMMO_REDIS_URL": self._config.url,
            "MAMMO_CPU_THREADS": "1",
            "MAMMO_VISIBILITY_TIMEOUT_S": "10",
        }

    def _start_worker(self, name: str, service: str, code: Path = ROOT) -> "subprocess.Popen[bytes]":
        tmp, command = self._tmp_of(name), self.command(service)
        tmp.mkdir(parents=True, exist_ok=True)
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                (*_MOUNTED, str(tmp), *command) if self.private_tmp and service in SERVICES else command,
                env=self.environment(name) | {"PYTHONPATH": f"{_PRELOAD}{os.pathsep}{code}"},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _supervise(self) -> None:
        while not self._ended.wait(0.3):
            with self._lock:
                for place in self.places:
                    if place.process.poll() is not None:
                        place.process = self._start_worker(place.name, place.service, place.code)

    # ---- faults ------------------------------------------------------------------------------------------------------

    def kill_child(self) -> None:
        """SIGKILL of a process that works on films; its worker lives on."""
        forking = [place for place in self.places if place.service != "train"]
        children = [(p, child) for p in forking for child in psutil.Process(p.process.pid).children()]
        if children:
            place, child = self.chance.choice(children)
            self.say(f"SIGKILL to the child of {place.name}")
            child.kill()

    def kill_worker(self) -> None:
        place = self.chance.choice(self.places)
        self.say(f"SIGKILL to {place.name}")
        _kill_group(place.process)

    def kill_all_workers(self) -> None:
        self.say("SIGKILL to every worker")
        with self._lock:
            for place in self.places:
                _kill_group(place.process)

    def drain_worker(self) -> None:
        place = self.chance.choice(self.places)
        self.say(f"SIGTERM to {place.name}")
        place.process.send_signal(signal.SIGTERM)

    def pause_worker(self) -> None:
        """Long enough to be taken for dead."""
        place = self.chance.choice(self.places)
        seconds = self.chance.uniform(9, 14)
        self.say(f"SIGSTOP to {place.name} for {seconds:.0f} s")
        signal_group(place.process, signal.SIGSTOP)
        self._later(seconds, lambda: signal_group(place.process, signal.SIGCONT))

    def kill_broker(self) -> None:
        self.say("SIGKILL to the broker, started again after a second")
        assert self._broker is not None
        _kill_group(self._broker)
        time.sleep(1)
        self._start_broker()

    def wipe_broker(self) -> None:
        self.say("FLUSHALL of the broker")
        self.redis.flushall()

    def broker_read_only(self) -> None:
        """A replica whose primary is away, as during a failover."""
        seconds = self.chance.uniform(3, 8)
        self.say(f"the broker is read-only for {seconds:.0f} s")
        self.redis.replicaof("127.0.0.1", "1")
        self._later(seconds, lambda: self.redis.replicaof("NO", "ONE"))

    def broker_out_of_memory(self) -> None:
        seconds = self.chance.uniform(3, 8)
        self.say(f"the broker is out of memory for {seconds:.0f} s")
        self.redis.config_set("maxmemory", "1")
        self._later(seconds, lambda: self.redis.config_set("maxmemory", "0"))

    def fill_broker_disk(self) -> None:
        """Its log can't grow: writes end in an error, as on a full disk, and it refuses commands with MISCONF."""
        assert self._broker is not None
        seconds, process = self.chance.uniform(3, 8), psutil.Process(self._broker.pid)
        self.say(f"the disk of the broker is full for {seconds:.0f} s")
        process.rlimit(psutil.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

        def free() -> None:
            with suppress(psutil.NoSuchProcess):  # it was killed meanwhile
                process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        self._later(seconds, free)

    def fill_tmp(self) -> None:
        """The temporary folder of a worker, with the files of its metrics; where it is a file system of its own."""
        if not self.private_tmp:
            self.say("no /tmp is filled: this machine lets nothing be mounted")
            return
        place, seconds = self.chance.choice(self.places), self.chance.uniform(5, 10)
        self.say(f"the temporary folder of {place.name} is full for {seconds:.0f} s")
        filler = Path(f"/proc/{place.process.pid}/root{self._tmp_of(place.name)}/filler")
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass

        def free() -> None:
            with suppress(OSError):  # the worker ended meanwhile, and its file system with it
                filler.unlink()

        self._later(seconds, free)

    def stop_store(self) -> None:
        seconds = self.away_s
        self.say(f"the S3 server is away for {seconds:.0f} s")
        self.store_server.stop()
        self._later(seconds, self.store_server.start)

    def fill_disk(self) -> None:
        seconds = self.chance.uniform(3, 8)
        self.say(f"the disk of the S3 server is full for {seconds:.0f} s")
        self._fault(
            seconds, lambda method, _: Fault(status=507, code="InsufficientStorage") if method == "PUT" else None
        )

    def disturb_store(self) -> None:
        """Every third request is answered with an error, dropped, or done without an answer."""
        seconds, chance = self.chance.uniform(3, 8), random.Random(self.chance.random())  # noqa: S311
        failures = [Fault(status=503, code="SlowDown"), Fault(status=500, code="InternalError")]
        faults = [*failures, Fault(drop="before"), Fault(drop="after")]
        self.say(f"a third of all S3 requests fails for {seconds:.0f} s")
        self._fault(seconds, lambda _method, _path: chance.choice(faults) if chance.random() < 1 / 3 else None)

    def jump_clock(self) -> None:
        place = self.chance.choice(self.places)
        seconds = self.chance.choice((-1, 1)) * self.chance.uniform(30, 3600)
        self.say(f"the clock of {place.name} jumps by {seconds:.0f} s")
        (self.folder / f"{place.name}.clock").write_text(str(seconds))

    def skew_clocks(self) -> None:
        """Every other worker is three hours ahead of its neighbours."""
        self.say("the clocks of the workers are three hours apart")
        for number, place in enumerate(self.places):
            (self.folder / f"{place.name}.clock").write_text(str((5400, -5400)[number % 2]))

    def swap_release(self) -> None:
        """A worker is replaced by one of the other release, as in an upgrade, or on the way back."""
        if self.last_release is None:
            self.say("no release is swapped: this clone has no other one")
            return
        place = self.chance.choice(self.places)
        place.code = self.last_release if place.code == ROOT else ROOT
        self.say(f"{place.name} becomes one of {'this release' if place.code == ROOT else 'the last release'}")
        place.process.send_signal(signal.SIGTERM)

    def deliver_twice(self, on: bool) -> None:
        if on:
            self.say("every message is delivered twice")
        (self.folder / "twice").touch() if on else (self.folder / "twice").unlink(missing_ok=True)

    def make_deadly(self, *films: bytes) -> None:
        """Whoever decodes one of these films dies of a segmentation fault; without films, nobody does any more."""
        (self.folder / "deadly").write_text(" ".join(hashlib.sha256(film).hexdigest() for film in films))

    def settle(self) -> None:
        """Ends what is still wrong: waits for delayed repairs, sets the clocks right, brings this release back."""
        for timer in self._timers:
            timer.join()
        self._timers.clear()
        for place in self.places:
            (self.folder / f"{place.name}.clock").unlink(missing_ok=True)
            if place.code != ROOT:
                place.code = ROOT
                place.process.send_signal(signal.SIGTERM)
        self.deliver_twice(on=False)

    def _tmp_of(self, name: str) -> Path:
        return self.folder / "tmp" / name

    def _fault(self, seconds: float, fault: Callable[[str, str], Fault | None]) -> None:
        self.store_server.fault = fault
        self._later(seconds, lambda: setattr(self.store_server, "fault", None))

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, do)
        timer.start()
        self._timers.append(timer)


def _can_mount() -> bool:
    """Return whether a process may have a file system of its own as its temporary folder."""
    command = [*_MOUNTED, "/mnt", "true"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    signal_group(process, signal.SIGKILL)
    process.wait()


def signal_group(process: "subprocess.Popen[bytes]", sign: signal.Signals) -> None:
    """Every process was started as the leader of its own group."""
    try:
        os.killpg(process.pid, sign)
    except ProcessLookupError:
        return
