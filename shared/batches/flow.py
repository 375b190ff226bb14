"""The flow of a batch of predictions: start, parts, end.

The store is the only truth, as for runs. A part is done when its marker exists, which is written after its results; its
name contains the number of images without a finding. So progress is one listing of names, messages may be lost or
delivered twice, and `resume` finishes any batch by enqueuing its missing parts.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from heapq import nlargest
from typing import Literal, NamedTuple

from shared.api.batches import Batch, BatchLine, BatchState
from shared.batches.plan import BatchNotFound, BatchPlan, read_batch
from shared.domain.records import Record
from shared.errors import (
    MammoError,
    ObjectNotFound,
    ObjectOfLaterRelease,
    ObjectUnreadable,
    PreconditionFailed,
    QueueUnavailable,
)
from shared.queue.messages import Queue, UnitKind
from shared.queue.tally import was_last
from shared.store import layout
from shared.store.documents import document, read_document
from shared.store.interface import ObjectStore

PREDICT: UnitKind = "predict"
AT_ONCE = 64
"""Parts of one batch that are in the queue at a time: those of a batch that is made later wait for no more."""

_log = logging.getLogger("mammostack.batches")


class BatchEnded(MammoError):
    """A batch that is done or cancelled and can't be resumed."""

    code = "batch-ended"
    http_status = 409


class BatchEnd(Record):
    """End of a batch, with its progress at that time."""

    state: Literal["done", "cancelled"]
    when: str
    done: int
    failed: int


class PartMarker(NamedTuple):
    """Marker of a finished part.

    Attributes:
        failed: number of images without a finding.
        when: seconds since the epoch.
    """

    part: str
    failed: int
    when: float


def begin(store: ObjectStore, queue: Queue, plan: BatchPlan) -> None:
    """Enqueue a batch, unless it was enqueued before.

    Raises:
        QueueUnavailable: the broker is unavailable; the batch is stored, and can be resumed.
    """
    if store.exists(layout.batch_enqueued(plan.batch)) or has_ended(store, plan):
        return
    store.put(layout.batch_of(plan.owner, datetime.fromisoformat(plan.created), plan.batch), b"")
    resume(store, queue, plan)


def resume(store: ObjectStore, queue: Queue, plan: BatchPlan) -> int:
    """Enqueue the missing parts of a batch; return their number.

    Raises:
        BatchEnded: the batch is done or cancelled.
        QueueUnavailable: the broker is unavailable.
    """
    parts = list(missing(store, plan))
    try:
        if end := _read_end(store, plan):
            raise BatchEnded(f"batch {plan.batch} is {end.state}; create a new one")
    except ObjectUnreadable:
        if not parts:
            _replace_end(store, plan)
            return 0
        store.delete(layout.batch_end(plan.batch))
    try:
        if not parts or queue.enqueue_some(plan.batch, PREDICT, parts, AT_ONCE) == 0:  # the workers have finished them
            _end(store, queue, plan)
    except QueueUnavailable as error:
        raise QueueUnavailable(f"{error}, then `mammo batch resume {plan.batch}`; the batch is stored").telling_clients(
            f"the broker does not accept messages; the batch is stored: run `mammo batch resume {plan.batch}` later"
        ) from error
    store.put(layout.batch_enqueued(plan.batch), b"")
    return len(parts)


def cancel(store: ObjectStore, plan: BatchPlan) -> None:
    """Cancel a batch and keep its results; an ended batch is left unchanged."""
    _write_end(store, plan, "cancelled")


def store_results(store: ObjectStore, plan: BatchPlan, part: str, lines: bytes) -> bool:
    """Store the result lines of a part, one per image, unless they exist.

    Returns:
        True if these lines were stored. If not, heat maps that only these lines name are deleted.
    """
    key = layout.batch_part(plan.batch, part)
    try:
        store.put(key, lines, if_absent=True)
    except PreconditionFailed:
        for heatmap in _heatmaps(lines) - _heatmaps(store.get(key)):
            store.delete(heatmap)
        return False
    return True


def _heatmaps(lines: bytes) -> set[str]:
    """Return the keys of the class-activation maps that result lines name."""
    return {line.heatmap for line in _parsed(lines) if line.heatmap}


def _parsed(lines: bytes) -> list[BatchLine]:
    return [BatchLine.model_validate_json(line) for line in lines.splitlines()]


def mark_part(store: ObjectStore, queue: Queue, plan: BatchPlan, part: str) -> None:
    """Mark a part as done after its results are stored; the last part ends the batch.

    Repeating it changes nothing.
    """
    lines = store.get(layout.batch_part(plan.batch, part))
    failed = sum(line.problem is not None for line in _parsed(lines))
    store.put(layout.batch_mark(plan.batch, part, failed), b"")
    queue.send_next(plan.batch, PREDICT)
    if was_last(queue, plan.batch, PREDICT, part, lambda: missing(store, plan)):
        _end(store, queue, plan)


def has_ended(store: ObjectStore, plan: BatchPlan) -> bool:
    """Return True if the batch is marked as done or cancelled."""
    return store.exists(layout.batch_end(plan.batch))


def missing(store: ObjectStore, plan: BatchPlan) -> Iterator[str]:
    """Return the missing parts, in order."""
    done = {mark.part for mark in marks(store, plan)}
    return (part for part in plan.names() if part not in done)


def marks(store: ObjectStore, plan: BatchPlan) -> Iterator[PartMarker]:
    """Yield the markers of finished parts, in order."""
    prefix = layout.batch_marks(plan.batch)
    for entry in store.entries(prefix):
        part, _, failed = entry.key.removeprefix(prefix).partition("-")
        if failed.isdecimal():  # whatever else lies there is no mark
            yield PartMarker(part, int(failed), entry.modified)


def read_results(store: ObjectStore, plan: BatchPlan) -> Iterator[bytes]:
    """Return the result lines so far, part by part in the order of the images."""
    done = list(marks(store, plan))  # before the response starts, so that an error can still set its status
    return (store.get(layout.batch_part(plan.batch, mark.part)) for mark in done)


def describe(store: ObjectStore, plan: BatchPlan) -> Batch:
    """Describe a batch and its progress; reads its end, or lists its markers."""
    try:
        end = _read_end(store, plan)
    except ObjectUnreadable:  # its markers tell as much
        end = None
    done, failed, last = (end.done, end.failed, 0.0) if end and end.state == "done" else _count(store, plan)
    state: BatchState = "queued" if not done else "running" if done < plan.images else "done"
    ended = end.when if end else _time(last) if state == "done" else None
    return Batch(
        id=plan.batch,
        state=end.state if end else state,
        network=plan.network,
        version=plan.version,
        operating_point=plan.operating_point,
        explain=plan.explain,
        images=plan.images,
        done=done,
        failed=failed,
        created=plan.created,
        ended=ended,
    )


def describe_all(store: ObjectStore, batches: Iterable[str]) -> Iterator[Batch]:
    """Describe batches; those that were removed or can't be read are left out, and the log names them."""
    for batch in batches:
        try:
            yield describe(store, read_batch(store, batch))
        except (BatchNotFound, ObjectUnreadable, ObjectOfLaterRelease) as error:
            _log.warning("a batch is left out of the list", extra={"batch": batch, "reason": str(error)})


def list_batches(store: ObjectStore, owner: str | None, limit: int) -> list[str]:
    """Return the ids of an owner's batches, the newest first; of all batches where `owner` is None."""
    if owner is not None:
        return [key.rpartition("-")[2] for key in reversed(deque(store.list(layout.batches_of(owner)), limit))]
    names = (key.rpartition("/")[2] for key in store.list(layout.batches_of()))  # <time>-<batch>
    return [name.rpartition("-")[2] for name in nlargest(limit, names)]


def _end(store: ObjectStore, queue: Queue, plan: BatchPlan) -> None:
    _write_end(store, plan, "done")
    queue.drop_tally(plan.batch, PREDICT)


def _write_end(store: ObjectStore, plan: BatchPlan, state: Literal["done", "cancelled"]) -> None:
    done, failed, _ = _count(store, plan)
    end = BatchEnd(state=state, when=_time(datetime.now(UTC).timestamp()), done=done, failed=failed)
    with suppress(PreconditionFailed):  # it was cancelled, or another worker has written the end
        store.put(layout.batch_end(plan.batch), document(end, indent=1), if_absent=True)


def _replace_end(store: ObjectStore, plan: BatchPlan) -> None:
    """Write the end of a batch all of whose parts are done over one that can't be read."""
    done, failed, last = _count(store, plan)
    end = BatchEnd(state="done", when=_time(last), done=done, failed=failed)
    store.put(layout.batch_end(plan.batch), document(end, indent=1))


def _read_end(store: ObjectStore, plan: BatchPlan) -> BatchEnd | None:
    try:
        return read_document(store, layout.batch_end(plan.batch), BatchEnd)
    except ObjectNotFound:
        return None


def _count(store: ObjectStore, plan: BatchPlan) -> tuple[int, int, float]:
    """Return the numbers of images done and failed, and the time of the last part."""
    done = list(marks(store, plan))
    images = sum(len(plan.span(mark.part)) for mark in done)
    return images, sum(mark.failed for mark in done), max((mark.when for mark in done), default=0.0)


def _time(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")
