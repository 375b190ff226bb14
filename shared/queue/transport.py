"""Celery's transport over Redis, for a broker that answers and takes no writes: out of memory, or a replica.

kombu takes a message from its queue (BRPOP) and notes it as unacknowledged (ZADD, HSET) in two steps. A server that
refuses the second one has given the message away: it would be lost. And it takes such a server for connected, so that a
worker would fail and connect again without a pause. Here a message that could not be noted is kept until the next
connection, which counts as made once the server has taken a write and the message is back in its queue.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

_PROBE = "mammostack:writable"
_kept: list[tuple[str, Any]] = []  # queue and message; the consumer's thread alone uses it


class _QoS(redis.QoS):
    def append(self, message: Any, delivery_tag: str) -> None:
        try:
            super().append(message, delivery_tag)
        except Exception:  # whatever it is, it is raised again
            _kept.append((message.delivery_info["routing_key"], message.serializable()))
            raise


class _Channel(redis.Channel):
    QoS = _QoS

    def check_writes(self) -> None:
        """Writes a key, and puts back what was kept.

        Raises:
            redis.ResponseError: the server takes no writes.
        """
        with self.conn_or_acquire() as client:
            client.set(_PROBE, b"", px=1)
        while _kept:
            self._put(*_kept[-1])
            _kept.pop()


class Transport(redis.Transport):
    """kombu's, with connections to servers that take writes."""

    Channel = _Channel

    def establish_connection(self) -> Any:
        connection = super().establish_connection()
        try:
            self._avail_channels[-1].check_writes()
        except Exception:
            self.close_connection(connection)
            raise
        return connection


def take_over_redis() -> None:
    """Has every connection of this process to redis:// and rediss:// made by this transport."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}"))
