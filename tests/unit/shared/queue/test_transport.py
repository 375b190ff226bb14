"""Redelivery goes by the server's clock. What becomes of a message that the server refuses is held by test_broker."""

import time
from collections.abc import Iterator

import pytest

from shared.queue.broker import Broker
from shared.queue.celery_app import make_app
from tests.support.brokers import empty_broker, settings_for

RUN = "20240521-120000-0000"


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    with empty_broker(redis_url) as broker:
        yield broker


class TestRestoreVisible:
    def test_what_is_in_hand_is_not_delivered_again_by_a_worker_whose_clock_is_three_hours_ahead(
        self, broker: Broker, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker.enqueue(RUN, "augment", ["000000"])
        with (
            make_app(settings_for(redis_url)).connection() as one,
            make_app(settings_for(redis_url)).connection() as two,
        ):
            one.SimpleQueue("augment").get(timeout=5)
            monkeypatch.setattr("kombu.transport.redis.time", lambda: time.time() + 3 * 3600)
            two.default_channel.qos.restore_visible(interval=1)
            depth = broker.depth()
        assert (depth.waiting["augment"], depth.in_hand) == (0, 1)

    @pytest.mark.parametrize("num", [10, None])
    def test_what_was_taken_too_long_ago_is(self, broker: Broker, redis_url: str, num: int | None) -> None:
        broker.enqueue(RUN, "augment", ["000000"])
        with (
            make_app(settings_for(redis_url)).connection() as one,
            make_app(settings_for(redis_url)).connection() as two,
        ):
            one.SimpleQueue("augment").get(timeout=5)
            two.default_channel.qos.restore_visible(num=num, interval=1)
            assert broker.depth().in_hand == 1
            (tag,) = broker.client.zrange("unacked_index", 0, -1)
            broker.client.zincrby("unacked_index", -3600, tag)
            two.default_channel.qos.restore_visible(num=num, interval=1)
            depth = broker.depth()
        assert (depth.waiting["augment"], depth.in_hand) == (1, 0)
