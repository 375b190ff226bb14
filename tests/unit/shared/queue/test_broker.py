"""The broker on a real Redis: what a message holds, tallies, tries, and what is checked before a worker begins."""

import base64
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from shared.errors import QueueMisconfigured, QueueUnavailable
from shared.local.broker import configure, free_port
from shared.local.commands import ROOT
from shared.queue import broker as module
from shared.queue.broker import Broker, check_server, connect, wait_for_broker
from shared.queue.celery_app import make_app
from shared.queue.messages import QUEUES, SCHEMA, SCHEMA_NUMBER, SENT_AT, STAGES, WAIT_S, Message, Stage, task_name
from tests.support.brokers import broker_at, empty_broker, settings_for
from tests.support.servers import running_broker

pytestmark = pytest.mark.external

RUN = "20240601-000000-aaaa"


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    with empty_broker(redis_url) as broker:
        yield broker


def waiting(broker: Broker, queue: str) -> list[dict[str, Any]]:
    """The messages in a queue, the oldest first."""
    return [json.loads(message) for message in reversed(broker.client.lrange(queue, 0, -1))]


def arguments(message: dict[str, Any]) -> Any:
    args, kwargs, embedded = json.loads(base64.b64decode(message["body"]))
    assert not args
    assert not any(embedded.values())
    return kwargs


def left(broker: Broker, *units: str, stage: Stage = "augment", run: str = RUN) -> list[int | None]:
    """What is left after each of the units was struck off."""
    return [broker.strike(run, stage, unit) for unit in units]


class TestMessages:
    @pytest.mark.parametrize("stage", STAGES)
    def test_a_message_is_json_with_a_run_and_a_unit_in_the_queue_of_its_stage(
        self, broker: Broker, stage: Stage
    ) -> None:
        units = ["000000", "resnet50/patient/fold-0"]
        assert broker.enqueue(RUN, stage, units) == 2
        messages = waiting(broker, QUEUES[stage])
        assert [arguments(message) for message in messages] == [{"run": RUN, "unit": unit} for unit in units]
        assert {message["headers"]["task"] for message in messages} == {task_name(stage)}
        assert {message["content-type"] for message in messages} == {"application/json"}
        assert sum(broker.depth().waiting.values()) == 2

    def test_a_message_that_is_sent_again_comes_later_and_knows_its_tries(self, broker: Broker) -> None:
        broker.send_again("train", Message(run=RUN, unit="resnet50/paper/fold-0"), tries=2, in_s=5)
        (message,) = waiting(broker, "train")
        assert arguments(message) == {"run": RUN, "unit": "resnet50/paper/fold-0"}
        assert message["headers"]["retries"] == 2
        assert message["headers"][WAIT_S] == 5
        assert message["headers"]["eta"] is None  # a time, which other clocks have another one for

    def test_a_message_names_its_layout_and_when_it_was_first_sent(self, broker: Broker) -> None:
        message, long_ago = Message(run=RUN, unit="000000"), 1_700_000_000.5
        broker.send_again("segment", message, tries=1, in_s=0, sent_at=long_ago)
        broker.enqueue(RUN, "augment", ["000000"])
        (again,), (new,) = waiting(broker, "segment"), waiting(broker, "augment")
        assert (again["headers"][SENT_AT], again["headers"][SCHEMA]) == (long_ago, SCHEMA_NUMBER)
        assert new["headers"][SENT_AT] > long_ago

    def test_a_run_is_under_way_while_its_tally_and_a_message_are_there(self, broker: Broker) -> None:
        assert not broker.is_under_way(RUN, "augment")
        broker.enqueue(RUN, "augment", ["000000"])
        assert broker.is_under_way(RUN, "augment")
        assert not broker.is_under_way(RUN, "segment")
        assert not broker.is_under_way("other", "augment")
        waiting(broker, "augment")
        broker.client.delete("augment")
        assert not broker.is_under_way(RUN, "augment")

    def test_depth_counts_what_waits_in_every_queue_and_what_workers_hold(self, broker: Broker) -> None:
        assert broker.depth().waiting == {"augment": 0, "gateway": 0, "inference": 0, "segment": 0, "train": 0}
        broker.enqueue(RUN, "augment", ["000000", "000001"])
        broker.enqueue("other", "augment", ["000000"])
        broker.enqueue(RUN, "publish", ["resnet50"])
        depth = broker.depth()
        assert (depth.waiting, depth.in_hand) == (
            {"augment": 3, "gateway": 0, "inference": 0, "segment": 0, "train": 1},
            0,
        )

    def test_a_message_in_the_hands_of_a_worker_is_counted_there(self, broker: Broker, redis_url: str) -> None:
        broker.enqueue(RUN, "augment", ["000000", "000001"])
        with make_app(settings_for(redis_url)).connection() as connection:
            queue = connection.SimpleQueue("augment")
            queue.get(timeout=5)
            depth = broker.depth()
        assert (depth.waiting["augment"], depth.in_hand) == (1, 1)


class TestClocks:
    def test_ages_go_by_the_clock_of_the_server(self, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shared.queue.broker.time.time", lambda: 0.0)
        broker.enqueue(RUN, "augment", ["000000"])
        (message,) = waiting(broker, "augment")
        assert abs(message["headers"][SENT_AT] - broker.client.time()[0]) < 60


class TestTallies:
    def test_a_tally_counts_down_and_a_unit_counts_once(self, broker: Broker) -> None:
        broker.enqueue(RUN, "augment", ["a", "b", "c"])
        assert left(broker, "b", "b", "a", "c", "c") == [2, 2, 1, 0, 0]

    def test_a_unit_that_is_not_on_the_tally_changes_nothing(self, broker: Broker) -> None:
        broker.enqueue(RUN, "augment", ["a", "b"])
        assert left(broker, "x", "a", "x") == [2, 1, 1]

    def test_without_a_tally_nobody_knows_what_is_left(self, broker: Broker) -> None:
        assert left(broker, "a") == [None]
        broker.enqueue(RUN, "augment", ["a"])
        broker.drop_tally(RUN, "augment")
        assert left(broker, "a") == [None]
        broker.enqueue(RUN, "augment", ["a"])
        broker.client.flushall()
        assert left(broker, "a") == [None]

    def test_every_stage_of_every_run_has_a_tally_of_its_own(self, broker: Broker) -> None:
        broker.enqueue(RUN, "augment", ["a", "b"])
        broker.enqueue("other", "augment", ["a", "b"])
        broker.begin_tally(RUN, "segment", ["a", "b", "c"])
        assert left(broker, "a", "b") == [1, 0]
        assert left(broker, "a", run="other") == [1]
        assert left(broker, "a", stage="segment") == [2]

    def test_a_tally_is_begun_where_there_is_none_and_never_replaced(self, broker: Broker) -> None:
        broker.begin_tally(RUN, "augment", ["a", "b", "c"])
        broker.begin_tally(RUN, "augment", ["d"])
        assert left(broker, "a", "b", "c", "d") == [2, 1, 0, 0]
        broker.begin_tally(RUN, "augment", ["d"])  # an empty one is there as well
        assert left(broker, "x") == [0]

    def test_a_tally_is_whole_from_the_moment_on_that_it_can_be_seen(
        self, broker: Broker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_CHUNK", 2)

        def units() -> Iterator[str]:
            for unit in ("a", "b", "c", "d", "e"):
                assert left(broker, unit) == [None]
                yield unit

        broker.begin_tally(RUN, "augment", units())
        assert left(broker, "x") == [5]

    def test_nothing_is_left_behind_of_a_tally_that_came_second(self, broker: Broker) -> None:
        for _ in range(3):
            broker.begin_tally(RUN, "augment", ["a"])
        assert broker.client.dbsize() == 1

    def test_to_enqueue_replaces_an_old_tally(self, broker: Broker) -> None:
        broker.enqueue(RUN, "augment", ["a", "b", "c"])
        assert broker.enqueue(RUN, "augment", ["c", "d"]) == 2
        assert left(broker, "a", "b", "c", "d") == [2, 2, 1, 0]

    @pytest.mark.parametrize("chunk", [1, 2, 500])
    def test_while_messages_are_being_put_there_nobody_is_told_that_none_is_left(
        self, broker: Broker, monkeypatch: pytest.MonkeyPatch, chunk: int
    ) -> None:
        monkeypatch.setattr(module, "_CHUNK", chunk)
        told: list[int | None] = []

        def units() -> Iterator[str]:
            for number in range(5):
                told.extend(left(broker, *map(str, range(number))))  # workers have done all that were enqueued
                yield str(number)

        still_to_do = broker.enqueue(RUN, "augment", units())
        assert len(told) == 10
        assert all(told)
        assert left(broker, *map(str, range(5)))[-1] == 0
        assert 1 <= still_to_do <= 5

    def test_who_enqueues_what_was_done_meanwhile_is_told_that_nothing_is_left(
        self, broker: Broker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_CHUNK", 1)

        def units() -> Iterator[str]:
            yield "a"
            left(broker, "a")

        assert broker.enqueue(RUN, "augment", units()) == 0

    @pytest.mark.parametrize("chunk", [1, 500])
    @pytest.mark.parametrize("after", [1, 2, 3])
    def test_who_enqueues_when_the_tally_is_lost_is_not_told_that_nothing_is_left(
        self, broker: Broker, monkeypatch: pytest.MonkeyPatch, chunk: int, after: int
    ) -> None:
        monkeypatch.setattr(module, "_CHUNK", chunk)

        def units() -> Iterator[str]:
            for number, unit in enumerate(("a", "b", "c"), 1):
                yield unit
                if number == after:
                    broker.client.flushall()

        assert broker.enqueue(RUN, "augment", units()) > 0

    def test_and_tries_do_not_stay_for_ever(self, broker: Broker) -> None:
        broker.enqueue(RUN, "augment", ["a"])
        broker.begin_tally(RUN, "segment", ["a"])
        broker.begin_try(RUN, "augment", "mdb001")
        ours = list(broker.client.scan_iter("mammostack:*"))
        assert len(ours) == 3
        assert all(broker.client.ttl(key) > 24 * 3600 for key in ours)


class TestTries:
    def test_are_counted_film_by_film_until_they_end(self, broker: Broker) -> None:
        assert [broker.begin_try(RUN, "augment", "mdb001") for _ in range(3)] == [1, 2, 3]
        assert broker.begin_try(RUN, "augment", "mdb002") == 1
        assert broker.begin_try(RUN, "segment", "mdb001") == 1
        assert broker.begin_try("other", "augment", "mdb001") == 1
        broker.end_tries(RUN, "augment", "mdb001")
        assert broker.begin_try(RUN, "augment", "mdb001") == 1
        assert broker.begin_try(RUN, "augment", "mdb002") == 2

    def test_show_which_films_a_worker_may_have_died_with(self, broker: Broker) -> None:
        assert not broker.has_begun(RUN, "predict", ["000001", "000002"])
        broker.begin_try(RUN, "predict", "000002")
        assert broker.has_begun(RUN, "predict", ["000001", "000002"])
        assert not broker.has_begun(RUN, "predict", ["000001"])
        assert not broker.has_begun("other", "predict", ["000002"])
        broker.take_back_try(RUN, "predict", "000002")
        assert not broker.has_begun(RUN, "predict", ["000001", "000002"])

    def test_to_forget_the_tries_of_a_run_leaves_those_of_others(self, broker: Broker) -> None:
        for run in (RUN, "other"):
            for stage in ("augment", "segment"):
                broker.begin_try(run, stage, "mdb001")
        broker.forget_tries(RUN)
        assert [broker.begin_try(RUN, stage, "mdb001") for stage in ("augment", "segment")] == [1, 1]
        assert [broker.begin_try("other", stage, "mdb001") for stage in ("augment", "segment")] == [2, 2]


CALLS: dict[str, Callable[[Broker], object]] = {
    "enqueue": lambda broker: broker.enqueue(RUN, "augment", ["a"]),
    "begin_tally": lambda broker: broker.begin_tally(RUN, "augment", ["a"]),
    "strike": lambda broker: broker.strike(RUN, "augment", "a"),
    "drop_tally": lambda broker: broker.drop_tally(RUN, "augment"),
    "has_begun": lambda broker: broker.has_begun(RUN, "augment", ["mdb001"]),
    "begin_try": lambda broker: broker.begin_try(RUN, "augment", "mdb001"),
    "end_tries": lambda broker: broker.end_tries(RUN, "augment", "mdb001"),
    "forget_tries": lambda broker: broker.forget_tries(RUN),
    "depth": lambda broker: broker.depth(),
    "check_server": lambda broker: check_server(broker.client),
}


class TestUnavailableBroker:
    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
    def test_a_broker_that_is_away_is_told_within_seconds_by_the_setting(
        self, call: Callable[[Broker], object]
    ) -> None:
        broker, began = broker_at(f"redis://127.0.0.1:{free_port()}/0"), time.monotonic()
        with pytest.raises(QueueUnavailable, match=r"MAMMO_REDIS_URL .*; start it") as away:
            call(broker)
        assert time.monotonic() - began < 5
        assert away.value.retryable

    def test_a_message_that_a_worker_can_not_send_again_is_told(self, broker: Broker) -> None:
        nobody = broker_at(f"redis://127.0.0.1:{free_port()}/0", patient=True)
        began = time.monotonic()
        with pytest.raises(QueueUnavailable, match="MAMMO_REDIS_URL"):
            nobody.send_again("augment", Message(run=RUN, unit="000000"), tries=1, in_s=1)
        assert time.monotonic() - began < 10

    def test_units_that_could_not_all_be_enqueued_never_look_done(self, broker: Broker) -> None:
        def units() -> Iterator[str]:
            yield "a"
            raise redis.ConnectionError("the server went away")

        with pytest.raises(QueueUnavailable):
            broker.enqueue(RUN, "augment", units())
        assert left(broker, "a") != [0]


@pytest.fixture
def policy(broker: Broker) -> Iterator[Callable[[str], object]]:
    """Sets the server's maxmemory-policy for one test."""
    before = broker.client.config_get("maxmemory-policy")["maxmemory-policy"]
    yield lambda name: broker.client.config_set("maxmemory-policy", name)
    broker.client.config_set("maxmemory-policy", before)


class TestStartupChecks:
    @pytest.mark.parametrize("name", ["allkeys-lru", "volatile-ttl"])
    def test_a_server_that_evicts_is_refused_by_its_policy(
        self, broker: Broker, policy: Callable[[str], object], name: str
    ) -> None:
        policy(name)
        with pytest.raises(QueueMisconfigured, match=f"maxmemory-policy is {name}, .* set maxmemory-policy noeviction"):
            check_server(broker.client)

    def test_a_server_that_never_evicts_passes(self, broker: Broker, policy: Callable[[str], object]) -> None:
        policy("noeviction")
        check_server(broker.client)

    def test_a_node_of_a_cluster_is_refused(self, tmp_path: Path) -> None:
        config = configure(tmp_path)
        with subprocess.Popen(config.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as server:
            try:
                assert server.stdin
                server.stdin.write(config.configuration + b"\ncluster-enabled yes\n")
                server.stdin.close()
                client = connect(settings_for(config.url))
                wait_for_broker(client)
                with pytest.raises(QueueMisconfigured, match="is in cluster mode"):
                    check_server(client)
            finally:
                server.kill()

    @pytest.mark.parametrize(("version", "refused"), [("6.2.14", True), ("7.0.0", False), ("10.1.0", False)])
    def test_the_least_version_is_7(
        self, broker: Broker, monkeypatch: pytest.MonkeyPatch, version: str, refused: bool
    ) -> None:
        stated = {**broker.client.info(), "redis_version": version}
        monkeypatch.setattr(broker.client, "info", lambda _section: stated)
        if refused:
            with pytest.raises(QueueMisconfigured, match=r"is Redis 6\.2\.14; take Redis 7\.0 or later"):
                check_server(broker.client)
        else:
            check_server(broker.client)

    def test_a_user_with_the_rights_that_the_page_names_will_do(self, redis_url: str, broker: Broker) -> None:
        page = (ROOT / "docs" / "how-to" / "scale.md").read_text()
        (rights,) = re.findall(r"an ACL user with `([^`]+)`", page)
        command: Callable[..., object] = broker.client.execute_command
        command("ACL", "SETUSER", "mammo", "reset", "on", ">secret", *rights.split())
        try:
            limited = broker_at(f"redis://mammo:secret@{redis_url.partition('@')[2]}")
            check_server(limited.client)
            assert limited.enqueue(RUN, "augment", ["a", "b"]) == 2
            assert left(limited, "a", "b") == [1, 0]
            assert limited.depth().waiting["augment"] == 2
            with pytest.raises(redis.exceptions.NoPermissionError):
                limited.client.flushall()
        finally:
            command("ACL", "DELUSER", "mammo")

    def test_a_server_that_is_there_is_not_waited_for(self, broker: Broker) -> None:
        began = time.monotonic()
        wait_for_broker(broker.client)
        assert time.monotonic() - began < 1

    def test_a_server_that_comes_up_later_is_waited_for(self, tmp_path: Path) -> None:
        config = configure(tmp_path)
        servers: list[subprocess.Popen[bytes]] = []

        def come_up() -> None:
            server = subprocess.Popen(config.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            servers.append(server)
            server.communicate(config.configuration)

        later = threading.Timer(1.0, come_up)
        later.start()
        try:
            began = time.monotonic()
            wait_for_broker(connect(settings_for(config.url)))
            assert 0.9 < time.monotonic() - began < 10
        finally:
            for server in servers:
                server.kill()
            later.join()

    def test_a_replica_that_has_lost_its_primary_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It answers PING with MASTERDOWN, if it is set not to serve what may be stale."""
        pauses: list[float] = []
        with running_broker() as url:
            command: Callable[..., object] = redis.Redis.from_url(url).execute_command
            command("config", "set", "replica-serve-stale-data", "no")
            command("replicaof", "127.0.0.1", "1")

            def promote(pause: float) -> None:
                pauses.append(pause)
                command("replicaof", "no", "one")

            with monkeypatch.context() as waiting:
                waiting.setattr(time, "sleep", promote)
                wait_for_broker(connect(settings_for(url)))
        assert len(pauses) == 1

    @pytest.mark.parametrize("password", ["wrong", ""])
    def test_a_wrong_password_is_refused_at_once(self, redis_url: str, password: str) -> None:
        server = redis_url.partition("@")[2]
        began = time.monotonic()
        with pytest.raises(QueueMisconfigured, match=r"the broker refuses the connection .*; check MAMMO_REDIS_URL"):
            wait_for_broker(connect(settings_for(f"redis://:{password}@{server}")))
        assert time.monotonic() - began < 3


class TestApplication:
    def test_an_application_waits_for_its_broker_and_gives_back_what_it_did_not_finish(self, redis_url: str) -> None:
        conf = make_app(settings_for(redis_url, visibility_timeout_s=33)).conf
        assert conf.broker_url == redis_url
        assert conf.broker_transport_options["visibility_timeout"] == 33
        assert conf.broker_connection_max_retries is None
        assert not conf.worker_cancel_long_running_tasks_on_connection_loss
        assert (conf.task_acks_late, conf.task_reject_on_worker_lost) == (True, True)
        assert conf.worker_prefetch_multiplier == 1
        assert (list(conf.accept_content), conf.task_serializer) == (["json"], "json")
        assert conf.task_ignore_result


def test_messages_that_are_held_back_are_sent_one_by_one_and_counted_from_the_start(broker: Broker) -> None:
    units = [f"{number:06d}" for number in range(5)]
    assert broker.enqueue_some(RUN, "predict", units, 2) == 5

    def sent() -> list[str]:
        return [arguments(message)["unit"] for message in waiting(broker, "inference")]

    assert sent() == units[:2]
    assert left(broker, units[0], stage="predict") == [4]
    for number in (3, 4, 5, 5):
        broker.send_next(RUN, "predict")
        assert sent() == units[:number]
    broker.enqueue_some(RUN, "predict", units[3:], 1)
    broker.drop_tally(RUN, "predict")
    before = sent()
    broker.send_next(RUN, "predict")
    assert sent() == before


@pytest.mark.parametrize(
    "answer",
    [
        "MISCONF Errors writing to the AOF file: No space left on device",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
    ],
)
def test_a_server_that_takes_nothing_just_now_is_waited_for(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    answers: list[Exception] = [redis.ResponseError(answer)] * 3
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)

    class Answering(redis.Redis):
        def ping(self, **_: Any) -> bool:
            if answers:
                raise answers.pop()
            return True

    wait_for_broker(Answering())
    assert len(pauses) == 3
    assert pauses == sorted(pauses)
