"""What the broker holds, as Prometheus reads it, from a real Redis and from none."""

import time
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest

from shared.queue.broker import Broker
from shared.queue.broker_metrics import broker_registry
from tests.support.brokers import empty_broker, settings_for


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    with empty_broker(redis_url) as broker:
        yield broker


def scraped(url: str) -> dict[str, float]:
    lines = generate_latest(broker_registry(settings_for(url))).decode().splitlines()
    rows = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


class TestBrokerRegistry:
    def test_an_empty_broker_has_nothing_waiting(self, broker: Broker, redis_url: str) -> None:
        found = scraped(redis_url)
        assert found["mammo_broker_up"] == 1
        assert found['celery_queue_length{queue_name="train"}'] == 0
        assert found['mammo_queue_oldest_seconds{queue_name="train"}'] == 0
        assert 0 < found["mammo_broker_memory_bytes"] < found["mammo_broker_memory_limit_bytes"]

    def test_what_waits_is_counted_and_the_first_that_came_is_the_oldest(self, broker: Broker, redis_url: str) -> None:
        broker.enqueue("r1", "augment", ["a"])
        time.sleep(0.5)
        broker.enqueue("r2", "augment", ["b", "c"])
        found = scraped(redis_url)
        assert found['celery_queue_length{queue_name="augment"}'] == 3
        assert 0.5 <= found['mammo_queue_oldest_seconds{queue_name="augment"}'] < 5
        assert found['celery_queue_length{queue_name="segment"}'] == 0

    def test_a_foreign_message_has_no_age(self, broker: Broker, redis_url: str) -> None:
        broker.client.lpush("segment", b"not JSON")
        assert scraped(redis_url)['mammo_queue_oldest_seconds{queue_name="segment"}'] == 0

    def test_a_broker_that_is_away_is_told_and_not_waited_for(self) -> None:
        began = time.monotonic()
        assert scraped("redis://:unused@127.0.0.1:1/0") == {"mammo_broker_up": 0}
        assert time.monotonic() - began < 2
