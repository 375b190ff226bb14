"""Celery's Redis transport, hardened for a server that answers but rejects writes.

Such a server is out of memory, or a replica. kombu takes a message from its queue (BRPOP) and records it as
unacknowledged (ZADD, HSET) in two steps: if the server rejects the second, the message is lost. kombu also considers
such a server connected, so that a worker would fail and reconnect without a pause. Here an unrecorded message is kept
until the next connection, which is established only once the server has accepted a write and the message is back in
its queue.
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
        """Write a key and return the kept messages to their queues.

        Raises:
            redis.ResponseError: the server rejects writes.
        """
        with self.conn_or_acquire() as client:
            client.set(_PROBE, b"", px=1)
        while _kept:
            self._put(*_kept[-1])
            _kept.pop()


class Transport(redis.Transport):
    """Transport that connects only to servers that accept writes."""

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
    """Use this transport for all redis:// and rediss:// connections of the process."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}"))
