"""The broker on Redis: messages, tallies of stages, attempts at films; checks of the server."""

import logging
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import cast

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from shared.errors import QueueMisconfigured, QueueUnavailable
from shared.polling import wait_for_server
from shared.queue.celery_app import make_app
from shared.queue.messages import (
    QUEUES,
    SCHEMA,
    SCHEMA_NUMBER,
    SENT_AT,
    STAGES,
    WAIT_S,
    Message,
    QueueDepth,
    UnitKind,
    task_name,
)
from shared.settings import BrokerSettings

_CHUNK, _CLOCK_S = 500, 60.0
_KEPT_S = 30 * 24 * 3600
_LEAST = (7, 0)
"""The oldest release of Redis that is tested."""

_BASE, _OPEN = "", "+"  # no unit has these names: one keeps an empty tally there, the other one that is being filled
_PASSING = ("MISCONF", "READONLY", "OOM", "LOADING", "BUSY", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN")
"""Answers of a server that takes nothing just now: its disk or memory is full, it is read-only, or it is starting."""

_STRIKE = """
if redis.call('exists', KEYS[1]) == 0 then return -1 end
redis.call('srem', KEYS[1], ARGV[1])
return redis.call('scard', KEYS[1]) - 1
"""
_BEGIN = """
local begun = redis.call('hincrby', KEYS[1], ARGV[1], 1)
if begun == 1 then redis.call('expire', KEYS[1], ARGV[2]) end
return begun
"""
_log = logging.getLogger("mammostack.broker")


def connect(config: BrokerSettings) -> "redis.Redis":
    """Connect to Redis; the client reconnects by itself.

    Raises:
        QueueMisconfigured: an option of the address has an invalid value.
    """
    try:
        return redis.Redis.from_url(
            config.redis_url.get_secret_value(),
            socket_timeout=5,
            socket_connect_timeout=5,
            retry=Retry(ExponentialWithJitterBackoff(cap=1, base=0.05), 3),
        )
    except ValueError as error:
        raise QueueMisconfigured(
            "MAMMO_REDIS_URL: an option after the '?' has an invalid value; correct it, or remove the option"
        ) from error


class Broker:
    """Implementation of `messages.Queue` and `attempts.AttemptCounter` on Redis.

    Args:
        app: Celery application that sends the messages.
        client: connection to the same server.
        patient: wait for an unavailable broker (workers) instead of raising QueueUnavailable (commands).
    """

    def __init__(self, app: Celery, client: "redis.Redis", *, patient: bool) -> None:
        self._app = app
        self.client = client
        self._patient = patient
        self._clock_ahead, self._clock_until = 0.0, -math.inf

    @classmethod
    def open(cls, settings: BrokerSettings) -> "Broker":
        """Open the broker for a command or a service that starts work, and is told when the broker is away.

        Raises:
            QueueMisconfigured: an option of the address has a value that the client does not take.
        """
        return cls(make_app(settings), connect(settings), patient=False)

    def enqueue(self, run: str, kind: UnitKind, units: Iterable[str]) -> int:
        key, remaining = _tally(run, kind), iter(units)
        with _answering(), self._app.producer_or_acquire() as producer:
            self.client.delete(key)
            self.client.sadd(key, _BASE, _OPEN)
            self.client.expire(key, _KEPT_S)
            while chunk := list(islice(remaining, _CHUNK)):
                self.client.sadd(key, _BASE, _OPEN, *chunk)  # all: the tally may just have been lost
                for unit in chunk:
                    self._send(kind, Message(run=run, unit=unit), producer=producer)
        missing = self.strike(run, kind, _OPEN)
        return 1 if missing is None else missing

    def enqueue_some(self, run: str, kind: UnitKind, units: Iterable[str], at_once: int) -> int:
        key, held, remaining = _tally(run, kind), _held_back(run, kind), iter(units)
        first = list(islice(remaining, at_once))
        with _answering():
            self.client.delete(key, held)
            self.client.sadd(key, _BASE, _OPEN, *first)
            while chunk := list(islice(remaining, _CHUNK)):
                self.client.sadd(key, *chunk)
                self.client.rpush(held, *chunk)
            for name in (key, held):
                self.client.expire(name, _KEPT_S)
        with _answering(), self._app.producer_or_acquire() as producer:
            for unit in first:
                self._send(kind, Message(run=run, unit=unit), producer=producer)
        missing = self.strike(run, kind, _OPEN)
        return 1 if missing is None else missing

    def send_next(self, run: str, kind: UnitKind) -> None:
        held = _held_back(run, kind)
        with _answering():
            unit = cast("bytes | None", self.client.lindex(held, 0))
            if unit is not None:  # sent first, then struck off: it may be sent twice, and is never lost
                self._send(kind, Message(run=run, unit=unit.decode()))
                self.client.lrem(held, 1, unit.decode())

    def send_again(
        self, kind: UnitKind, message: Message, *, tries: int, in_s: float, sent_at: float | None = None
    ) -> None:
        """Send a message again; the worker that takes it holds it for `in_s` seconds.

        Args:
            sent_at: when it was first sent, in seconds since the epoch, so that its age goes on; None: now.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        with _answering():
            self._send(kind, message, {WAIT_S: in_s}, sent_at, retries=tries)

    def _send(
        self,
        kind: UnitKind,
        message: Message,
        headers: Mapping[str, float] | None = None,
        sent_at: float | None = None,
        **options: object,
    ) -> None:
        self._app.send_task(
            task_name(kind),
            kwargs=message.model_dump(),
            queue=QUEUES[kind],
            headers={SENT_AT: sent_at or self._now(), SCHEMA: SCHEMA_NUMBER, **(headers or {})},
            retry=self._patient,
            **options,
        )

    def _now(self) -> float:
        """Return the server's time, in seconds since the epoch: ages are compared across machines.

        It is asked once in a while, and this machine's where the server does not answer.
        """
        if time.monotonic() > self._clock_until:
            try:
                seconds, microseconds = self.client.time()
                now = seconds + microseconds / 1e6
            except redis.RedisError:
                return time.time()
            self._clock_ahead = now - time.monotonic()
            self._clock_until = time.monotonic() + _CLOCK_S
        return time.monotonic() + self._clock_ahead

    def begin_tally(self, run: str, kind: UnitKind, units: Iterable[str]) -> None:
        key, remaining = _tally(run, kind), iter(units)
        partial = f"{key}:partial:{time.monotonic_ns()}"
        with _answering():
            self.client.sadd(partial, _BASE)
            self.client.expire(partial, _KEPT_S)
            while chunk := list(islice(remaining, _CHUNK)):
                self.client.sadd(partial, *chunk)
            if not self.client.renamenx(partial, key):
                self.client.delete(partial)

    def strike(self, run: str, kind: UnitKind, unit: str) -> int | None:
        with _answering():
            missing = int(self.client.eval(_STRIKE, 1, _tally(run, kind), unit))
        return None if missing < 0 else missing

    def drop_tally(self, run: str, kind: UnitKind) -> None:
        with _answering():
            self.client.delete(_tally(run, kind), _held_back(run, kind))

    def begin_try(self, run: str, kind: UnitKind, film: str) -> int:
        """Count an attempt at a film; return the number of attempts so far.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        with _answering():
            return int(self.client.eval(_BEGIN, 1, _tries(run, kind), film, _KEPT_S))

    def has_begun(self, run: str, kind: UnitKind, films: Sequence[str]) -> bool:
        """Return True if an attempt at one of the films was begun and not ended: its worker may have died.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        with _answering():
            return any(int(begun or 0) for begun in self.client.hmget(_tries(run, kind), list(films)))

    def take_back_try(self, run: str, kind: UnitKind, film: str) -> None:
        with _answering():
            self.client.hincrby(_tries(run, kind), film, -1)

    def end_tries(self, run: str, kind: UnitKind, film: str) -> None:
        with _answering():
            self.client.hdel(_tries(run, kind), film)

    def forget_tries(self, run: str) -> None:
        with _answering():
            self.client.delete(*(_tries(run, stage) for stage in STAGES))

    def is_under_way(self, run: str, kind: UnitKind) -> bool:
        with _answering():
            if not self.client.exists(_tally(run, kind)):
                return False
            return bool(self.client.llen(QUEUES[kind]) or self.client.hlen("unacked"))

    def depth(self) -> QueueDepth:
        names = sorted(set(QUEUES.values()))
        with _answering():
            waiting = {name: int(self.client.llen(name)) for name in names}
            return QueueDepth(waiting=waiting, in_hand=int(self.client.hlen("unacked")))


def wait_for_broker(client: "redis.Redis") -> None:
    """Wait until the broker answers; log a warning every few seconds.

    Raises:
        QueueMisconfigured: the broker refuses the connection.
    """
    wait_for_server(lambda: _ping(client), "the broker of MAMMO_REDIS_URL", _log)


def _ping(client: "redis.Redis") -> None:
    try:
        client.ping()
    except redis.RedisError as error:
        if _is_refusal(error):
            raise QueueMisconfigured(f"the broker refuses the connection ({error}); check MAMMO_REDIS_URL") from error
        raise QueueUnavailable(str(error)) from error


def _is_refusal(error: redis.RedisError) -> bool:
    """Return whether waiting won't help: the password or the rights are wrong."""
    if isinstance(error, redis.exceptions.MasterDownError):  # a replica that has lost its primary answers nothing else
        return False
    refused = isinstance(error, redis.AuthenticationError | redis.ResponseError)
    return refused and not str(error).startswith(_PASSING)


def check_server(client: "redis.Redis") -> None:
    """Check version, mode and memory policy of the server, which must never drop messages to free memory.

    Raises:
        QueueMisconfigured: it is older than Redis 7.0, a node of a cluster, or evicts.
    """
    with _answering():
        server, memory = client.info("server"), client.info("memory")
    version = str(server.get("redis_version", ""))  # Valkey states the release of Redis that it stands for
    if _numbers(version) < _LEAST:
        raise QueueMisconfigured(f"the broker is Redis {version}; take Redis 7.0 or later, or Valkey")
    if server.get("redis_mode") == "cluster":
        raise QueueMisconfigured(
            "the broker is in cluster mode, in which Celery's queues can't be kept; take a server that is not"
        )
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise QueueMisconfigured(
            f"the broker's maxmemory-policy is {policy}, so it drops messages when its memory is full; "
            "set maxmemory-policy noeviction on it"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2]) or _LEAST  # what is not stated is not refused


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (OperationalError, redis.RedisError) as error:
        answered = isinstance(error, redis.ResponseError) or isinstance(error.__cause__, redis.ResponseError)
        problem = "rejects writes" if answered else "can't be reached"
        advice = "free memory on it, or make it writable" if answered else "start it"
        raise QueueUnavailable(
            f"the broker of MAMMO_REDIS_URL {problem} ({str(error).rstrip('.')}); {advice}"
        ) from error


def _tally(run: str, kind: UnitKind) -> str:
    return f"mammostack:tally:{run}:{kind}"


def _held_back(run: str, kind: UnitKind) -> str:
    return f"mammostack:held-back:{run}:{kind}"


def _tries(run: str, kind: UnitKind) -> str:
    return f"mammostack:tries:{run}:{kind}"
