"""The broker as a service reaches it, on a real server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

from shared.queue.broker import Broker, connect
from shared.queue.celery_app import make_app
from shared.settings import BrokerSettings


def settings_for(url: str, **changes: Any) -> BrokerSettings:
    return BrokerSettings(redis_url=SecretStr(url), **changes)


def broker_at(url: str, *, patient: bool = False) -> Broker:
    config = settings_for(url)
    return Broker(make_app(config), connect(config), patient=patient)


@contextmanager
def empty_broker(url: str) -> Iterator[Broker]:
    """Give a broker whose database is empty before and after."""
    broker = broker_at(url)
    broker.client.flushdb()
    yield broker
    broker.client.flushdb()
    broker.client.close()
