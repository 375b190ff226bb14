"""One owner of a unit of work: a key in Redis that is set once, kept alive by a heartbeat, and dropped at the end.

An owner that dies stops beating, and the unit is free again after `ttl_s`; at once, when whoever asks next is on the
same machine and can see that the owner's process is gone. A lease saves work, it does not protect results: those are
protected by `claim`, in the store.
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
    """Another worker has the unit; a later try finds it done or free."""

    code = "lease-held"


class Lease:
    """What the owner knows of its lease. `lost` becomes true when another worker has taken the unit over."""

    def __init__(self) -> None:
        self.lost = False


@contextmanager
def lease(
    client: "redis.Redis", name: str, ttl_s: float, on_beat: Callable[[], None] = lambda: None
) -> Iterator[Lease]:
    """Holds the lease `name` for the duration of the block.

    Args:
        on_beat: called in the heartbeat's thread, three times in `ttl_s`; must not raise.

    Raises:
        LeaseHeld: somebody else, who may be alive, holds it.
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
        raise QueueUnavailable(f"the broker of MAMMO_REDIS_URL does not answer: {error}") from error
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
    """Its name, and the name space of process ids: containers may share the first and not the second."""
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
    """Whether the owner was a process of this machine and has ended; False where that can't be known."""
    try:
        host, pid, born, _ = holder.split(" ")
        return host == this_machine() and ProcessIdentity(int(pid), float(born)).process is None
    except ValueError:
        return False


def _quietly(client: "redis.Redis", script: str, key: str, *arguments: str | int) -> int | None:
    """The script's answer; None when Redis is away. The lease then runs out by itself; the next beat tries again."""
    try:
        return int(client.eval(script, 1, key, *arguments))
    except redis.RedisError:
        return None
