"""Celery's Redis transport, hardened for a server that answers but rejects writes.

Such a server is out of memory, or a replica. kombu takes a message from its queue (BRPOP) and records it as
unacknowledged (ZADD, HSET) in two steps: if the server rejects the second, the message is lost. kombu also considers
such a server connected, so that a worker would fail and reconnect without a pause. Here an unrecorded message is kept
until the next connection, which is established only once the server has accepted a write and the message is back in
its queue.

kombu notes by the worker's clock when a message was taken, and another worker finds by its own that it was lost. Here
both are the server's time, so that a worker whose clock is ahead doesn't deliver again what the others have in hand.
"""

from contextlib import suppress
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from kombu.utils.json import dumps

_PROBE = "mammostack:writable"
_kept: list[tuple[str, Any]] = []  # queue and message; the consumer's thread alone uses it


_TAKE = """
redis.call('zadd', KEYS[1], redis.call('time')[1], ARGV[1])
redis.call('hset', KEYS[2], ARGV[1], ARGV[2])
"""


class _QoS(redis.QoS):
    def append(self, message: Any, delivery_tag: str) -> None:
        delivery = message.delivery_info
        record = dumps([message._raw, delivery["exchange"], delivery["routing_key"]])
        try:
            with self.channel.conn_or_acquire() as client:
                client.eval(_TAKE, 2, self.unacked_index_key, self.unacked_key, delivery_tag, record)
            virtual.QoS.append(self, message, delivery_tag)
        except Exception:  # whatever it is, it is raised again
            _kept.append((message.delivery_info["routing_key"], message.serializable()))
            raise

    def restore_visible(self, start: int = 0, num: int | None = 10, interval: int = 10) -> None:
        """Put messages that were taken too long ago back into their queues; kombu's own, by the server's time.

        Args:
            start: of the oldest ones, how many are passed over.
            num: at most so many; None: all.
            interval: only one call in so many looks.
        """
        self._vrestore_count += 1
        if (self._vrestore_count - 1) % (interval or 1):
            return
        with self.channel.conn_or_acquire() as client:
            latest = client.time()[0] - self.visibility_timeout
            with suppress(redis.MutexHeld), redis.Mutex(client, self.unacked_mutex_key, self.unacked_mutex_expire):
                bounds = {} if num is None else {"start": start, "num": num}
                for tag in client.zrangebyscore(self.unacked_index_key, 0, latest, **bounds):
                    self.restore_by_tag(tag, client)


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
