"""The whole flow of a batch of predictions: begun, done part by part, ended.

The store is the only truth, as it is for runs. A part is done when its mark is there, which is written after its
answers and tells how many of its images have no finding. So progress is one listing of names, messages may be lost or
come twice, and `resume` finishes any batch by enqueuing what is missing.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from shared.api.batches import Batch, BatchLine, BatchState
from shared.batches.plan import BatchPlan
from shared.domain.records import Record
from shared.errors import MammoError, ObjectNotFound, PreconditionFailed, QueueUnavailable
from shared.queue.messages import Kind, Queue
from shared.queue.tally import was_last
from shared.store import layout
from shared.store.interface import ObjectStore

PREDICT: Kind = "predict"


class BatchEnded(MammoError):
    """It is done or cancelled; nothing can be added to it."""

    code = "batch-ended"
    http_status = 409


class BatchEnd(Record):
    """How a batch ended, and how far it was then."""

    state: Literal["done", "cancelled"]
    when: str
    done: int
    failed: int


class PartMarker(NamedTuple):
    """A part is done. `failed` of its images have no finding; `when` is in seconds since the epoch."""

    part: str
    failed: int
    when: float


def begin(store: ObjectStore, queue: Queue, plan: BatchPlan) -> None:
    """Enqueues a batch; one that was begun before is left alone.

    Raises:
        QueueUnavailable: the broker is away; the batch is kept, and can be resumed.
    """
    if store.exists(layout.batch_enqueued(plan.batch)) or has_ended(store, plan):
        return
    store.put(layout.batch_of(plan.owner, datetime.fromisoformat(plan.created), plan.batch), b"")
    resume(store, queue, plan)


def resume(store: ObjectStore, queue: Queue, plan: BatchPlan) -> int:
    """Enqueues the parts that are not done; returns how many.

    Raises:
        BatchEnded: there is nothing to resume.
        QueueUnavailable: the broker is away.
    """
    if end := _read_end(store, plan):
        raise BatchEnded(f"batch {plan.batch} is {end.state}; make a new one")
    left = list(missing(store, plan))
    try:
        if not left or queue.enqueue(plan.batch, PREDICT, left) == 0:  # the workers were faster
            _end(store, queue, plan)
    except QueueUnavailable as error:
        raise QueueUnavailable(f"{error}, then `mammo batch resume {plan.batch}`; the batch is kept").telling_clients(
            f"the broker does not take messages; the batch is kept: `mammo batch resume {plan.batch}` later"
        ) from error
    store.put(layout.batch_enqueued(plan.batch), b"")
    return len(left)


def cancel(store: ObjectStore, plan: BatchPlan) -> None:
    """Ends a batch where it is; what is done stays. One that has ended stays as it is."""
    _write_end(store, plan, "cancelled")


def store_answers(store: ObjectStore, plan: BatchPlan, part: str, answers: bytes) -> bool:
    """Store the answers of a part, a line for each image, unless they are there already.

    Returns whether it was these answers that were stored. If not, heat maps that only these name are deleted.
    """
    key = layout.batch_part(plan.batch, part)
    try:
        store.put(key, answers, if_absent=True)
    except PreconditionFailed:
        for heatmap in _heatmaps(answers) - _heatmaps(store.get(key)):
            store.delete(heatmap)
        return False
    return True


def _heatmaps(answers: bytes) -> set[str]:
    """The keys of the class-activation maps that answers name."""
    lines = (BatchLine.model_validate_json(line) for line in answers.splitlines())
    return {line.heatmap for line in lines if line.heatmap}


def mark_part(store: ObjectStore, queue: Queue, plan: BatchPlan, part: str) -> None:
    """Mark a part done, whose answers are stored; the last part ends the batch. Doing so again changes nothing."""
    answers = store.get(layout.batch_part(plan.batch, part))
    lines = [BatchLine.model_validate_json(line) for line in answers.splitlines()]
    failed = sum(line.problem is not None for line in lines)
    store.put(layout.batch_mark(plan.batch, part, failed), b"")
    if was_last(queue, plan.batch, PREDICT, part, lambda: missing(store, plan)):
        _end(store, queue, plan)


def has_ended(store: ObjectStore, plan: BatchPlan) -> bool:
    return store.exists(layout.batch_end(plan.batch))


def missing(store: ObjectStore, plan: BatchPlan) -> Iterator[str]:
    """The parts that are not done, in order."""
    done = {mark.part for mark in marks(store, plan)}
    return (part for part in plan.names() if part not in done)


def marks(store: ObjectStore, plan: BatchPlan) -> Iterator[PartMarker]:
    """The parts that are done, in order."""
    prefix = layout.batch_marks(plan.batch)
    for entry in store.entries(prefix):
        part, _, failed = entry.key.removeprefix(prefix).partition("-")
        yield PartMarker(part, int(failed), entry.modified)


def read_results(store: ObjectStore, plan: BatchPlan) -> Iterator[bytes]:
    """The answers that there are, part by part in the order of the images."""
    done = list(marks(store, plan))  # before the first of them is sent: an error can still be told then
    return (store.get(layout.batch_part(plan.batch, mark.part)) for mark in done)


def describe(store: ObjectStore, plan: BatchPlan) -> Batch:
    """A batch and how far it is. Reads its end, or lists its marks."""
    end = _read_end(store, plan)
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


def list_batches(store: ObjectStore, owner: str, limit: int) -> list[str]:
    """The ids of an owner's batches, the newest first."""
    return [key.rpartition("-")[2] for key in reversed(deque(store.list(layout.batches_of(owner)), limit))]


def _end(store: ObjectStore, queue: Queue, plan: BatchPlan) -> None:
    _write_end(store, plan, "done")
    queue.drop_tally(plan.batch, PREDICT)


def _write_end(store: ObjectStore, plan: BatchPlan, state: Literal["done", "cancelled"]) -> None:
    done, failed, _ = _count(store, plan)
    end = BatchEnd(state=state, when=_time(datetime.now(UTC).timestamp()), done=done, failed=failed)
    with suppress(PreconditionFailed):  # it has ended otherwise, or another worker saw the end too
        store.put(layout.batch_end(plan.batch), end.model_dump_json(indent=1).encode(), if_absent=True)


def _read_end(store: ObjectStore, plan: BatchPlan) -> BatchEnd | None:
    try:
        return BatchEnd.model_validate_json(store.get(layout.batch_end(plan.batch)))
    except ObjectNotFound:
        return None


def _count(store: ObjectStore, plan: BatchPlan) -> tuple[int, int, float]:
    """Images that have their line, those of them without a finding, and when the last part was done."""
    done = list(marks(store, plan))
    images = sum(len(plan.span(mark.part)) for mark in done)
    return images, sum(mark.failed for mark in done), max((mark.when for mark in done), default=0.0)


def _time(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")
