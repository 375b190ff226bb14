"""The flow of an evaluation: shards of films, then the report. The store is the only truth, as for runs."""

from collections.abc import Iterator
from contextlib import suppress

from pydantic import TypeAdapter

from shared.digests import sha256_hex
from shared.domain.records import Record
from shared.errors import ObjectNotFound, ObjectUnreadable, PreconditionFailed, QueueUnavailable
from shared.evaluations.plan import REPORT, EvaluationPlan, JudgedShard, read_evaluation_plan
from shared.modelling.external import ExternalEvaluation
from shared.queue.attempts import code_of, text_of
from shared.queue.messages import Queue, UnitKind
from shared.queue.tally import was_last
from shared.store import layout
from shared.store.documents import read_document
from shared.store.interface import ObjectStore

JUDGE: UnitKind = "judge"
FIGURES = "metrics.json"
"""The file of the report that holds its figures."""

_DIGESTS = TypeAdapter(dict[str, str])


class UnitFailure(Record):
    """The reason why a unit was given up."""

    unit: str
    code: str
    message: str


def start(store: ObjectStore, queue: Queue, plan: EvaluationPlan) -> EvaluationPlan:
    """Store a plan, unless the same evaluation was begun before, and enqueue its missing units.

    Returns:
        The plan as it is stored.

    Raises:
        QueueUnavailable: the broker is away; the same call does the rest later.
    """
    stored = _stored(store, plan)
    for key in list(store.list(layout.evaluation_failures(plan.evaluation))):
        store.delete(key)
    try:
        _enqueue_missing(store, queue, stored)
    except QueueUnavailable as error:
        raise QueueUnavailable(f"{error}, then give the same command again; the evaluation is stored") from error
    return stored


def _stored(store: ObjectStore, plan: EvaluationPlan) -> EvaluationPlan:
    """Store a plan unless it is there; one that can't be read is replaced."""
    key, document = layout.evaluation_plan(plan.evaluation), plan.model_dump_json(indent=1).encode()
    with suppress(PreconditionFailed):
        store.put(key, document, if_absent=True)
    try:
        return read_evaluation_plan(store, plan.evaluation)
    except ObjectUnreadable:
        store.put(key, document)
        return plan


def advance(store: ObjectStore, queue: Queue, plan: EvaluationPlan, unit: str) -> None:
    """Enqueue the report if `unit` was the last missing shard."""
    if was_last(queue, plan.evaluation, JUDGE, unit, lambda: missing_shards(store, plan)):
        queue.drop_tally(plan.evaluation, JUDGE)
        if unit != REPORT:
            queue.enqueue(plan.evaluation, JUDGE, [REPORT])


def give_up(store: ObjectStore, evaluation: str, unit: str, error: Exception) -> UnitFailure:
    """Store the reason why a unit is given up."""
    failure = UnitFailure(unit=unit, code=code_of(error), message=text_of(error))
    store.put(layout.evaluation_failure(evaluation, unit), failure.model_dump_json(indent=1).encode())
    return failure


def failures(store: ObjectStore, plan: EvaluationPlan) -> list[UnitFailure]:
    """Read which units were given up."""
    found = []
    for key in store.list(layout.evaluation_failures(plan.evaluation)):
        with suppress(ObjectNotFound):  # the unit is tried again
            found.append(read_document(store, key, UnitFailure))
    return found


def missing_shards(store: ObjectStore, plan: EvaluationPlan) -> Iterator[str]:
    """Yield the shards whose films are not judged, in order."""
    done = set(store.list(layout.evaluation_shards(plan.evaluation)))
    return (shard for shard in plan.shards if layout.evaluation_shard(plan.evaluation, shard) not in done)


def is_judged(store: ObjectStore, plan: EvaluationPlan, shard: str) -> bool:
    """Return True if the answers for a shard can be read."""
    try:
        read_document(store, plan.done_key(shard), JudgedShard)
    except (ObjectNotFound, ObjectUnreadable):
        return False
    return True


def report_is_intact(store: ObjectStore, plan: EvaluationPlan) -> bool:
    """Return True if every file of the report has the digest with which it was written."""
    try:
        digests = _DIGESTS.validate_json(store.get(plan.done_key(REPORT)))
        return FIGURES in digests and all(
            sha256_hex(store.get(layout.evaluation_report(plan.evaluation, name))) == digest
            for name, digest in digests.items()
        )
    except (ObjectNotFound, ValueError):
        return False


def read_external_evaluation(store: ObjectStore, plan: EvaluationPlan) -> ExternalEvaluation | None:
    """Read the figures of an evaluation; None while it has no intact report."""
    if not report_is_intact(store, plan):
        return None
    return read_document(store, layout.evaluation_report(plan.evaluation, FIGURES), ExternalEvaluation)


def _enqueue_missing(store: ObjectStore, queue: Queue, plan: EvaluationPlan) -> None:
    if report_is_intact(store, plan):
        return
    units = [shard for shard in plan.shards if not is_judged(store, plan, shard)] or [REPORT]
    if queue.enqueue(plan.evaluation, JUDGE, units) == 0:  # the workers have finished them meanwhile
        advance(store, queue, plan, units[-1])
