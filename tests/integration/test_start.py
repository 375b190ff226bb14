"""What a worker finds out when it starts: it waits for what is away, and ends with a sentence when it is refused."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import psutil
import pytest
import redis
from pydantic import SecretStr

from shared.datasets.mias import Source
from shared.errors import QueueUnavailable
from shared.local import broker
from shared.local.commands import ROOT, worker_command
from shared.modelling.profiles import profile
from shared.queue.broker import Broker
from shared.runs import pipeline
from shared.runs.plan import RunOptions, make_plan
from shared.settings import BrokerSettings, StoreSettings
from shared.store.ingest import ingest
from shared.store.objects import open_store
from tests.support.servers import Fault, FaultyS3, running_broker, wait_until

ALLOWED_S = 40.0


class Started:
    """A worker process and what it has said."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_to_say(self, words: str) -> None:
        wait_until(lambda: words in self.said or self.process.poll() is not None, ALLOWED_S)
        assert words in self.said


@contextmanager
def worker(folder: Path, url: str, store: str, **more: str) -> Iterator[Started]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAMMO_")}
    environment |= {"MAMMO_REDIS_URL": url, "MAMMO_STORE": store, "PYTHONPATH": str(ROOT), **more}
    environment |= {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(worker_command("augment"), env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        yield Started(process, folder / "log")
    finally:
        process.terminate()
        process.wait()


FAULTS = {
    "out of memory": (("config", "set", "maxmemory", "1mb"), ("config", "set", "maxmemory", "0")),
    "a replica": (("replicaof", "127.0.0.1", "1"), ("replicaof", "no", "one")),
    "too few replicas": (
        ("config", "set", "min-replicas-to-write", "1"),
        ("config", "set", "min-replicas-to-write", "0"),
    ),
}


class TestStart:
    def test_a_broker_that_is_away_is_waited_for(self, tmp_path: Path) -> None:
        config = broker.configure(tmp_path / "broker")
        with worker(tmp_path, config.url, str(tmp_path / "store")) as started:
            started.wait_to_say("waiting for the broker of MAMMO_REDIS_URL")
            with subprocess.Popen(config.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as server:
                assert server.stdin is not None
                server.stdin.write(config.configuration)
                server.stdin.close()
                try:
                    started.wait_to_say("ready.")
                finally:
                    server.kill()

    def test_a_broker_that_would_drop_messages_is_refused(self, tmp_path: Path) -> None:
        with running_broker() as url:
            redis.Redis.from_url(url).config_set("maxmemory-policy", "allkeys-lru")
            with worker(tmp_path, url, str(tmp_path / "store")) as started:
                assert started.process.wait(ALLOWED_S) == 1
        assert "maxmemory-policy is allkeys-lru" in started.said
        assert "set maxmemory-policy noeviction" in started.said

    def test_a_wrong_password_is_told_by_the_setting(self, tmp_path: Path, redis_url: str) -> None:
        wrong = redis_url.replace("redis://:", "redis://:not-")
        with worker(tmp_path, wrong, str(tmp_path / "store")) as started:
            assert started.process.wait(ALLOWED_S) == 1
        assert "check MAMMO_REDIS_URL" in started.said
        assert wrong.split("@")[0] not in started.said

    def test_a_store_that_is_away_is_waited_for_and_one_without_the_bucket_refused(
        self, tmp_path: Path, redis_url: str
    ) -> None:
        with FaultyS3() as server:
            server.stop()
            with worker(tmp_path, redis_url, "s3://nowhere", MAMMO_S3_ENDPOINT_URL=server.url) as started:
                started.wait_to_say("waiting for the store of MAMMO_STORE")
                server.start()
                assert started.process.wait(ALLOWED_S) == 1
        assert "there is no bucket 'nowhere'; create it or correct MAMMO_STORE" in started.said

    def test_a_test_of_the_store_that_fails_in_another_way_ends_the_worker(
        self, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Celery logs what `worker_init` raises, and goes on."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "tests")
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        with FaultyS3() as server:
            boto3.client("s3", endpoint_url=server.url, region_name="us-east-1").create_bucket(Bucket="odd")
            server.fault = lambda method, _path: Fault(status=418, code="Teapot") if method == "PUT" else None
            with worker(tmp_path, redis_url, "s3://odd", MAMMO_S3_ENDPOINT_URL=server.url) as started:
                assert started.process.wait(ALLOWED_S) == 1
        assert "the preparation of the worker failed" in started.said

    @pytest.mark.parametrize("store", ["gs://bucket", "s3://"])
    def test_an_address_that_is_no_store_is_refused(self, tmp_path: Path, redis_url: str, store: str) -> None:
        with worker(tmp_path, redis_url, store) as started:
            assert started.process.wait(ALLOWED_S) == 1
        assert "MAMMO_STORE: " in started.said
        assert "give s3://BUCKET[/PREFIX] or a directory" in started.said

    @pytest.mark.parametrize(
        "address",
        [
            "redis://:se/cret@127.0.0.1:6379/0",
            "redis://:se#cret@127.0.0.1:6379/0",
            "redis://:secret@127.0.0.1:99999/0",
            "amqp://user:secret@127.0.0.1",
        ],
    )
    def test_an_address_that_is_no_broker_is_refused_and_not_quoted(self, tmp_path: Path, address: str) -> None:
        with worker(tmp_path, address, str(tmp_path / "store")) as started:
            assert started.process.wait(ALLOWED_S) == 1
        assert "MAMMO_REDIS_URL: " in started.said
        assert "Traceback" not in started.said
        assert not any(part in started.said for part in ("secret", "se/", "se#", "cret@"))

    @pytest.mark.parametrize(("begin", "end"), FAULTS.values(), ids=FAULTS)
    def test_a_broker_that_takes_no_writes_for_a_while_is_waited_for_and_no_message_is_lost(
        self, tmp_path: Path, begin: tuple[str, ...], end: tuple[str, ...]
    ) -> None:
        units = [f"{number:06d}" for number in range(12)]
        with running_broker() as url, worker(tmp_path, url, str(tmp_path / "store")) as started:
            started.wait_to_say("ready.")
            command: Callable[..., object] = redis.Redis.from_url(url).execute_command
            queue = Broker.open(BrokerSettings(redis_url=SecretStr(url)))
            parent = psutil.Process(started.process.pid)
            worker_and_children = [parent, *parent.children(recursive=True)]
            for process in worker_and_children:
                process.suspend()
            queue.enqueue("20240101-000000-aaaa", "augment", units)
            command(*begin)
            for process in worker_and_children:
                process.resume()
            started.wait_to_say("Cannot connect to redis://:**@")
            with pytest.raises(QueueUnavailable, match="rejects writes"):
                queue.enqueue("20240101-000000-bbbb", "augment", units)
            assert started.process.poll() is None
            command(*end)
            for unit in units:
                started.wait_to_say(f'"unit": "{unit}"')
            wait_until(lambda: queue.depth().in_hand == 0, ALLOWED_S)
            assert set(queue.depth().waiting.values()) == {0}
            started.process.terminate()
            assert started.process.wait(ALLOWED_S) == 0

    def test_a_worker_that_the_store_refuses_in_the_middle_of_a_run_ends_and_its_message_stays(
        self, tmp_path: Path, synthetic_films: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "tests")
        with FaultyS3() as server, running_broker() as url:
            boto3.client("s3", endpoint_url=server.url, region_name="us-east-1").create_bucket(Bucket="refusing")
            store = open_store(StoreSettings(url="s3://refusing", s3_endpoint_url=server.url))
            dataset = ingest(store, Source(synthetic_films), "films").dataset
            plan = make_plan(
                dataset,
                profile("test"),
                RunOptions(networks=("resnet50",), protocols=("paper",), weights={}, promote=(), seed=1),
            )
            queue = Broker.open(BrokerSettings(redis_url=url))
            server.fault = lambda method, path: (
                Fault(status=403, code="AccessDenied") if method == "PUT" and "data_augmentation" in path else None
            )
            pipeline.start(store, queue, plan)
            with worker(tmp_path, url, "s3://refusing", MAMMO_S3_ENDPOINT_URL=server.url) as started:
                assert started.process.wait(ALLOWED_S) == 0
            assert "worker ends" in started.said
            assert "check the credentials" in started.said
            depth = queue.depth()
            assert depth.waiting["augment"] + depth.in_hand == plan.count("augment")
            assert pipeline.failures(store, plan.run) == []

    def test_a_worker_with_child_processes_is_not_ended_when_idle(self, tmp_path: Path) -> None:
        with worker(tmp_path, "redis://:unused@127.0.0.1:1/0", str(tmp_path), MAMMO_WORKER_IDLE_S="1") as started:
            assert started.process.wait(ALLOWED_S) == 1
        assert "unset MAMMO_WORKER_IDLE_S" in started.said
