"""Prometheus metrics of the broker, read at every scrape of a worker or of the inference service.

All processes export the same values, so that they are available while any of them runs; take the `max` over them.
"""

import json
from collections.abc import Iterator

import redis
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.queue.messages import QUEUES, SENT_AT
from shared.settings import BrokerSettings

_PATIENCE_S = 1.0  # a scrape must not wait for a broker that is away


class BrokerCollector(Collector):
    """Collector of the broker's metrics; names follow celery-exporter where it has one."""

    def __init__(self, config: BrokerSettings) -> None:
        self._url = config.redis_url
        self._client: redis.Redis | None = None

    def describe(self) -> list[Metric]:
        return []  # so that registering it does not connect to the broker

    def collect(self) -> Iterator[Metric]:
        names = sorted(set(QUEUES.values()))
        try:
            self._client = self._client or redis.Redis.from_url(
                self._url.get_secret_value(),
                socket_timeout=_PATIENCE_S,
                socket_connect_timeout=_PATIENCE_S,
                retry=Retry(NoBackoff(), 0),
            )
            with self._client.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.llen(name)
                    pipeline.lindex(name, -1)  # the next to be taken
                pipeline.hlen("unacked")
                pipeline.info("memory")
                pipeline.time()
                *queues, in_hand, memory, (seconds, microseconds) = pipeline.execute()
        except (redis.RedisError, ValueError):  # ValueError: an invalid address or host
            yield _gauge("mammo_broker_up", "Whether the broker answers", 0)
            return
        yield _gauge("mammo_broker_up", "Whether the broker answers", 1)
        length = GaugeMetricFamily("celery_queue_length", "Messages that wait", labels=["queue_name"])
        oldest = GaugeMetricFamily("mammo_queue_oldest_seconds", "Age of the next message", labels=["queue_name"])
        for index, name in enumerate(names):
            length.add_metric([name], queues[2 * index])
            oldest.add_metric([name], _age(queues[2 * index + 1], seconds + microseconds / 1e6))
        yield length
        yield oldest
        yield _gauge("mammo_messages_in_hand", "Messages in the hands of workers, not yet acknowledged", in_hand)
        yield _gauge("mammo_broker_memory_bytes", "Memory that the broker has taken", memory.get("used_memory", 0))
        limit = memory.get("maxmemory") or memory.get("total_system_memory", 0)
        yield _gauge("mammo_broker_memory_limit_bytes", "Memory that it may take", limit)


def broker_registry(config: BrokerSettings) -> CollectorRegistry:
    """Create a registry with the broker's metrics alone."""
    registry = CollectorRegistry()
    registry.register(BrokerCollector(config))
    return registry


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def _age(message: bytes | None, now: float) -> float:
    """Return the seconds since a message was sent; 0 without a message of ours."""
    try:
        sent = json.loads(message or b"{}").get("headers", {}).get(SENT_AT)
    except ValueError:
        return 0.0
    return max(0.0, now - sent) if sent else 0.0
