"""The lease of a unit of work, on a real broker: one owner at a time, alive while it beats, free again when it dies."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.errors import QueueUnavailable
from shared.local.broker import free_port
from shared.queue.lease import LeaseHeld, lease, this_machine
from tests.support.servers import running_broker

pytestmark = pytest.mark.external

NAME, TTL = "run/train/unit", 0.5
KEY = f"mammostack:lease:{NAME}"


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    client = redis.Redis.from_url(redis_url, socket_timeout=5)
    client.flushdb()
    yield client
    client.close()


class TestLease:
    def test_a_second_taker_is_told_that_it_is_held(self, client: Any) -> None:
        with lease(client, NAME, TTL):
            with pytest.raises(LeaseHeld, match=NAME) as held, lease(client, NAME, TTL):
                pass
            assert client.exists(KEY)
        assert held.value.retryable

    def test_of_eight_takers_at_once_one_gets_it(self, client: Any) -> None:
        def take(_: int) -> bool:
            try:
                with lease(client, NAME, TTL):
                    time.sleep(0.3)
            except LeaseHeld:
                return False
            return True

        with ThreadPoolExecutor(8) as takers:
            assert sum(takers.map(take, range(8))) == 1

    def test_it_is_free_again_at_the_end_of_the_block(self, client: Any) -> None:
        for _ in range(2):
            with lease(client, NAME, TTL):
                assert client.exists(KEY)
            assert not client.exists(KEY)

    def test_it_is_free_again_when_the_block_fails(self, client: Any) -> None:
        with pytest.raises(ZeroDivisionError), lease(client, NAME, TTL):
            raise ZeroDivisionError
        assert not client.exists(KEY)

    def test_leases_of_other_names_are_free(self, client: Any) -> None:
        with lease(client, NAME, TTL), lease(client, "run/train/other", TTL):
            assert client.exists(KEY, "mammostack:lease:run/train/other") == 2

    def test_it_is_kept_alive_beyond_its_time_while_the_holder_lives(self, client: Any) -> None:
        with lease(client, NAME, TTL):
            token = client.get(KEY)
            time.sleep(2.5 * TTL)
            assert client.get(KEY) == token
            with pytest.raises(LeaseHeld), lease(client, NAME, TTL):
                pass

    def test_it_is_free_again_some_time_after_its_holder_died(self, client: Any) -> None:
        client.set(KEY, "a worker that was killed", px=int(TTL * 1000))
        with pytest.raises(LeaseHeld), lease(client, NAME, TTL):
            pass
        time.sleep(1.2 * TTL)
        with lease(client, NAME, TTL):
            assert client.get(KEY) != b"a worker that was killed"

    def test_nobody_holds_it_for_ever(self, client: Any) -> None:
        with lease(client, NAME, TTL):
            assert 0 < client.pttl(KEY) <= TTL * 1000

    def test_who_has_lost_it_neither_extends_nor_drops_that_of_its_successor(self, client: Any) -> None:
        with lease(client, NAME, TTL):
            client.set(KEY, "the successor", px=60_000)
            time.sleep(TTL)
            assert client.pttl(KEY) > 50_000
        assert client.get(KEY) == b"the successor"

    def test_who_has_lost_it_is_told(self, client: Any) -> None:
        with lease(client, NAME, TTL) as held:
            time.sleep(0.6 * TTL)
            assert not held.lost
            client.set(KEY, "the successor", px=60_000)
            assert is_soon(lambda: held.lost)

    def test_when_the_broker_has_lost_everything_the_next_beat_takes_it_again(self, client: Any) -> None:
        with lease(client, NAME, TTL) as held:
            owner = client.get(KEY)
            client.flushall()
            assert is_soon(lambda: client.get(KEY) == owner)
            assert 0 < client.pttl(KEY) <= TTL * 1000
            assert not held.lost
            with pytest.raises(LeaseHeld), lease(client, NAME, TTL):
                pass
        assert not client.exists(KEY)

    def test_every_beat_is_told_and_none_after_the_end(self, client: Any) -> None:
        beats: list[float] = []
        with lease(client, NAME, TTL, lambda: beats.append(time.monotonic())):
            assert is_soon(lambda: len(beats) >= 3)
        told = len(beats)
        time.sleep(TTL)
        assert len(beats) == told


def is_soon(condition: Callable[[], bool], seconds: float = 5) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


HOLDER = """
import sys, time, redis
from shared.queue.lease import lease
with lease(redis.Redis.from_url(sys.argv[1]), sys.argv[2], 60):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(client: Any, redis_url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process of this machine that holds the lease for a minute."""
    command = [sys.executable, "-c", HOLDER, redis_url, NAME]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


class TestDeadOwner:
    def test_that_of_a_killed_process_of_this_machine_is_taken_at_once(
        self, client: Any, holder: "subprocess.Popen[bytes]"
    ) -> None:
        holder.kill()
        holder.wait()
        assert client.pttl(KEY) > 50_000
        with lease(client, NAME, TTL):
            assert f" {os.getpid()} ".encode() in client.get(KEY)
            with pytest.raises(LeaseHeld), lease(client, NAME, TTL):
                pass

    def test_of_eight_takers_of_that_of_a_killed_process_one_gets_it(
        self, client: Any, holder: "subprocess.Popen[bytes]"
    ) -> None:
        holder.kill()
        holder.wait()

        def take(_: int) -> bool:
            try:
                with lease(client, NAME, 10):
                    time.sleep(0.3)
            except LeaseHeld:
                return False
            return True

        with ThreadPoolExecutor(8) as takers:
            assert sum(takers.map(take, range(8))) == 1

    def test_that_of_a_living_process_of_this_machine_is_not_taken(
        self, client: Any, holder: "subprocess.Popen[bytes]"
    ) -> None:
        owner = client.get(KEY)
        with pytest.raises(LeaseHeld), lease(client, NAME, TTL):
            pass
        assert client.get(KEY) == owner

    def test_that_of_a_dead_process_whose_number_another_one_has_now_is_taken_at_once(self, client: Any) -> None:
        born_earlier = psutil.Process().create_time() - 100
        client.set(KEY, f"{this_machine()} {os.getpid()} {born_earlier:.2f} 0123", px=60_000)
        with lease(client, NAME, TTL):
            assert client.pttl(KEY) <= TTL * 1000

    @pytest.mark.parametrize(
        "owner", ["{other} 999999999 1.00 0123", "{this} none 1.00 0123", "{this} 999999999", "", "x"]
    )
    def test_that_of_one_who_may_be_alive_elsewhere_is_not_taken_before_its_time(self, client: Any, owner: str) -> None:
        this = this_machine()
        client.set(KEY, owner.format(this=this, other=f"{this}-2"), px=200)
        with pytest.raises(LeaseHeld), lease(client, NAME, TTL):
            pass
        time.sleep(0.25)
        with lease(client, NAME, TTL):
            pass


def impatient(url: str) -> Any:
    """A client that does not try again by itself."""
    return redis.Redis.from_url(url, socket_timeout=1, retry=Retry(NoBackoff(), 0))


class TestUnavailableBroker:
    def test_a_broker_that_does_not_answer_is_told_by_the_setting(self) -> None:
        nobody = impatient(f"redis://127.0.0.1:{free_port()}/0")
        with pytest.raises(QueueUnavailable, match="MAMMO_REDIS_URL") as away, lease(nobody, NAME, TTL):
            pass
        assert not isinstance(away.value, LeaseHeld)

    def test_a_job_whose_broker_goes_away_is_finished_all_the_same(self) -> None:
        with ExitStack() as broker:
            client = impatient(broker.enter_context(running_broker()))
            with lease(client, NAME, TTL):
                broker.close()
                with pytest.raises(redis.ConnectionError):
                    client.ping()
                time.sleep(TTL)  # the heartbeat fails meanwhile
                finished = True
        assert finished
