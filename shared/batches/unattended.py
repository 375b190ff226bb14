"""Unfinished batches whose messages are lost: `mammo batch resume` helps."""

from shared.batches.flow import PREDICT, has_ended, list_batches
from shared.batches.plan import BatchNotFound, read_batch
from shared.errors import ObjectOfLaterRelease, ObjectUnreadable
from shared.queue.messages import Queue
from shared.store.interface import ObjectStore

_NEWEST = 1000


def unattended_batches(store: ObjectStore, queue: Queue, ended: set[str]) -> list[str]:
    """List those of the newest batches that are unfinished and that nothing in the broker continues.

    Args:
        ended: batches that are known to have ended; those that are found to have are added.

    Raises:
        QueueUnavailable: the broker does not answer.
    """
    return [
        batch
        for batch in list_batches(store, None, _NEWEST)
        if batch not in ended and _is_unattended(store, queue, batch, ended)
    ]


def _is_unattended(store: ObjectStore, queue: Queue, batch: str, ended: set[str]) -> bool:
    try:
        plan = read_batch(store, batch)
    except (BatchNotFound, ObjectUnreadable, ObjectOfLaterRelease):
        return False
    if has_ended(store, plan):
        ended.add(batch)
        return False
    return not queue.is_under_way(batch, PREDICT)
