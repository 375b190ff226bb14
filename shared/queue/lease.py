"""Leases on units: keys in Redis that expire unless a heartbeat extends them.

When an owner dies, its unit is free after `ttl_s`, or at once for a worker on the same machine, which sees that the
owner's process has ended. A lease avoids duplicate work; results are protected by `claim`, in the store.
"""

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from shared.errors import QueueUnavailable
from shared.process_identity import ProcessIdentity

_EXTEND = """
local owner = redis.call('get', KEYS[1])
if owner == ARGV[1] then redis.call('pexpire', KEYS[1], ARGV[2]) return 1 end
if owner then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1
"""
_RELEASE = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1]) or 0"


class LeaseHeld(QueueUnavailable):
    """A unit that another worker processes; a later attempt finds it done or free."""

    code = "lease-held"


class Lease:
    """A held lease; `lost` becomes True when another worker takes the unit over."""

    def __init__(self) -> None:
        self.lost = False


@contextmanager
def lease(
    client: "redis.Redis", name: str, ttl_s: float, on_beat: Callable[[], None] = lambda: None
) -> Iterator[Lease]:
    """Hold the lease `name` for the duration of the block.

    Args:
        client: connection to Redis.
        name: name of the unit.
        ttl_s: seconds after which the lease of a dead owner expires.
        on_beat: called in the heartbeat's thread, three times in `ttl_s`; must not raise.

    Raises:
        LeaseHeld: another owner holds it, and is not known to be dead.
        QueueUnavailable: Redis does not answer.
    """
    key, ttl_ms = f"mammostack:lease:{name}", int(ttl_s * 1000)
    owner = f"{_this_process()} {uuid.uuid4().hex}"
    try:
        taken = client.set(key, owner, nx=True, px=ttl_ms)
        if not taken and _is_gone(holder := _text(client.get(key))):
            _quietly(client, _RELEASE, key, holder)
            taken = client.set(key, owner, nx=True, px=ttl_ms)
    except redis.RedisError as error:
        raise QueueUnavailable(f"the broker of MAMMO_REDIS_URL does not answer ({error}); start it") from error
    if not taken:
        raise LeaseHeld(f"{name} is being worked on by another worker")
    held, ended = Lease(), threading.Event()

    def beat() -> None:
        while not ended.wait(ttl_s / 3):
            held.lost = _quietly(client, _EXTEND, key, owner, ttl_ms) == 0
            on_beat()

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield held
    finally:
        ended.set()
        thread.join()
        _quietly(client, _RELEASE, key, owner)


def this_machine() -> str:
    """Return the host name with the PID namespace, because containers may share a name."""
    try:
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()


def _this_process() -> str:
    this = ProcessIdentity.current()
    return f"{this_machine()} {this.pid} {this.started:.2f}"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else ""


def _is_gone(holder: str) -> bool:
    """Return True if the owner was a process of this machine and has ended."""
    try:
        host, pid, born, _ = holder.split(" ")
        return host == this_machine() and ProcessIdentity(int(pid), float(born)).process is None
    except ValueError:
        return False


def _quietly(client: "redis.Redis", script: str, key: str, *arguments: str | int) -> int | None:
    """Run a script; return None if Redis is unavailable.

    The lease then expires by itself, and the next beat tries again.
    """
    try:
        return int(client.eval(script, 1, key, *arguments))
    except redis.RedisError:
        return None
