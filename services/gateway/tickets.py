"""Tickets of exams in the queue: one message for each exam, however often it is seen to wait.

A ticket is a key in Redis that runs out by itself, so that an exam whose message was lost with the broker is queued
again. It holds the time of the exam's last film.
"""

import redis

from shared.errors import QueueUnavailable
from shared.queue.broker import Broker
from shared.queue.messages import Message, UnitKind

KIND: UnitKind = "exam"
RUN = "gateway"
"""In place of a run in messages, and in the keys of what is set aside."""

_LASTS_S = 60


def queue_exam(broker: Broker, study: str, last_film: float) -> bool:
    """Queue an exam by the hash of its study; return False if it is queued already.

    Raises:
        QueueUnavailable: the broker does not answer.
    """
    try:
        fresh = broker.client.set(_key(study), repr(last_film), nx=True, ex=_LASTS_S)
    except redis.RedisError as error:
        raise QueueUnavailable(f"the broker of MAMMO_REDIS_URL does not answer: {error}") from error
    if fresh:
        broker.send_again(KIND, Message(run=RUN, unit=study), tries=0, in_s=0)
    return bool(fresh)


def renew(broker: Broker, study: str) -> float | None:
    """Keep a ticket while its exam is worked on; return the time of the exam's last film, if it is known."""
    try:
        value = broker.client.get(_key(study))
        broker.client.set(_key(study), value if isinstance(value, bytes) else b"", ex=_LASTS_S)
        return float(value) if isinstance(value, bytes) and value else None
    except (redis.RedisError, ValueError):
        return None


def drop(broker: Broker, study: str) -> None:
    """Drop the ticket of an exam that is done, so that the next film queues it at once."""
    try:
        broker.client.delete(_key(study))
    except redis.RedisError:
        return


def _key(study: str) -> str:
    return f"mammostack:gateway:{study}"
