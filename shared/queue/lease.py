"""One owner of a long job: a key in Redis that is set once, kept alive by a heartbeat, and dropped at the end.

A worker that dies stops beating, and the job is free again after `ttl_s`. A lease saves work, it does not protect
results: those are protected by conditional writes to the store.
"""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from shared.errors import QueueUnavailable

_EXTEND = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2]) or 0"
_RELEASE = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1]) or 0"


class LeaseHeld(QueueUnavailable):
    """Another worker has the job; a later try finds it done or free."""

    code = "lease-held"


@contextmanager
def lease(client: "redis.Redis", name: str, ttl_s: float) -> Iterator[None]:
    """Holds the lease `name` for the duration of the block.

    Raises:
        LeaseHeld: somebody else holds it.
        QueueUnavailable: Redis does not answer.
    """
    key, token, ttl_ms = f"mammostack:lease:{name}", uuid.uuid4().hex, int(ttl_s * 1000)
    try:
        taken = client.set(key, token, nx=True, px=ttl_ms)
    except redis.RedisError as error:
        raise QueueUnavailable(f"the broker of MAMMO_REDIS_URL does not answer: {error}") from error
    if not taken:
        raise LeaseHeld(f"{name} is being worked on by another worker")
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(client, key, token, ttl_ms, ended), name="lease", daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        _quietly(client, _RELEASE, key, token)


def _beat(client: "redis.Redis", key: str, token: str, ttl_ms: int, ended: threading.Event) -> None:
    while not ended.wait(ttl_ms / 3000):
        _quietly(client, _EXTEND, key, token, ttl_ms)


def _quietly(client: "redis.Redis", script: str, key: str, *arguments: str | int) -> None:
    try:
        client.eval(script, 1, key, *arguments)
    except redis.RedisError:
        # Redis is away: the lease runs out by itself, and the next beat finds out whether it is back.
        return
