"""The flow of a run: augment -> segment -> train -> evaluate -> publish -> promote.

The store is the only truth. A unit is done when its object exists; a stage is complete when all its units are. The
first worker that sees it, by a conditional write, enqueues the next stage. So messages may be lost or delivered twice,
and `resume` finishes any run by enqueuing its missing units.
"""

import secrets
from collections.abc import Iterable, Iterator
from itertools import islice

from shared.domain.films import SetAside, Shard
from shared.domain.records import Record
from shared.errors import ObjectNotFound, ObjectUnreadable, PreconditionFailed, QueueUnavailable
from shared.queue.attempts import code_of, text_of
from shared.queue.clock import now
from shared.queue.messages import STAGES, Queue, Stage
from shared.queue.tally import was_last
from shared.runs.plan import SHARDED, Plan, Unit, check_plan, read_plan
from shared.runs.shards import images_are_intact
from shared.runs.sources import check_same_films, check_trained_images, stale_units
from shared.store import layout
from shared.store.documents import document, read_document
from shared.store.interface import ObjectStore

_COMPARED_AT_ONCE = 256


class Failure(Record):
    """A unit that was given up, or a film that was set aside, stored under `failed/`."""

    stage: Stage
    unit: str
    film: str | None = None
    code: str
    message: str
    when: str


class StageMarker(Record):
    """The end of a stage: its last unit, and True in `enqueued` once the next stage is enqueued.

    The random token makes every marker different, so that a writer whose response was lost recognises its own.
    """

    unit: str
    token: str
    when: str
    enqueued: bool = False


def start(store: ObjectStore, queue: Queue, plan: Plan) -> None:
    """Store the plan and enqueue the first unfinished stage.

    Raises:
        PlanError: the plan is invalid.
        FilmsChanged: other films were ingested since the plan was made.
        PreconditionFailed: a run of this name exists.
        QueueUnavailable: the broker is unavailable; the plan is stored, and the run can be resumed.
    """
    check_plan(plan)
    check_same_films(store, plan)
    store.put(layout.run_plan(plan.run), document(plan, indent=1), if_absent=True)
    try:
        _enqueue_from(store, queue, plan, STAGES[0])
    except QueueUnavailable as error:
        raise QueueUnavailable(f"{error}, then `mammo resume {plan.run}`; its plan is stored") from error


def advance(store: ObjectStore, queue: Queue, plan: Plan, stage: Stage, unit: str) -> None:
    """Enqueue the next stage if `unit` was the last missing unit of its stage."""
    if not was_last(queue, plan.run, stage, unit, lambda: (other.name for other in missing_units(store, plan, stage))):
        return
    following = STAGES.index(stage) + 1
    if following < len(STAGES) and (marker := _take_marker(store, plan, stage, unit)):
        _enqueue_from(store, queue, plan, STAGES[following])
        done = marker.model_copy(update={"enqueued": True})
        store.put(layout.stage_marker(plan.run, stage), document(done))
    queue.drop_tally(plan.run, stage)


def _take_marker(store: ObjectStore, plan: Plan, stage: Stage, unit: str) -> StageMarker | None:
    """Make `unit` the one that ends the stage; return None if another unit does.

    A unit whose worker died before the next stage was enqueued is delivered again and finds its own marker.
    """
    key, marker = layout.stage_marker(plan.run, stage), StageMarker(unit=unit, token=secrets.token_hex(8), when=now())
    try:
        store.put(key, document(marker), if_absent=True)
    except PreconditionFailed:
        try:
            stored = read_document(store, key, StageMarker)
        except ObjectUnreadable:  # the next stage may be enqueued twice then, which does no harm
            store.put(key, document(marker))
            return marker
        return stored if stored.unit == unit and not stored.enqueued else None
    return marker


def _enqueue_from(store: ObjectStore, queue: Queue, plan: Plan, first: Stage) -> int:
    """Enqueue the missing units of the first incomplete stage from `first` on; return their number."""
    for place in range(STAGES.index(first), len(STAGES)):
        stage = STAGES[place]
        if missing := [unit.name for unit in missing_units(store, plan, stage)]:
            for unended in STAGES[place:]:
                store.delete(layout.stage_marker(plan.run, unended))
            if queue.enqueue(plan.run, stage, missing) == 0:  # the workers have finished them meanwhile
                advance(store, queue, plan, stage, missing[-1])
            return len(missing)
    return 0


def resume(store: ObjectStore, queue: Queue, run: str, *, verify: bool = False) -> int:
    """Enqueue the missing units of the run's first incomplete stage; return their number.

    Units that were given up are missing; films that were set aside are not, see `retry`. A cancelled run continues.

    Args:
        store: store of the run.
        queue: broker to enqueue to.
        run: name of the run.
        verify: read every image first, and recreate shards with a damaged or missing one.

    Raises:
        RunNotFound: there is no such run.
        FilmsChanged: the data set holds other films than those of the run; or, with `verify`, its jobs were trained on
            others.
    """
    plan = read_plan(store, run)
    check_same_films(store, plan)
    store.delete(layout.cancelled(run))
    damaged = {unit[:2]: unit for stage in SHARDED for unit in _damaged(store, plan, stage)} if verify else {}
    for failure in failures(store, run):
        if failure.film is None or (failure.stage, failure.unit) in damaged:
            store.delete(layout.failure(run, failure.stage, failure.film or failure.unit))
    for unit in damaged.values():
        store.delete(unit.done_key)
    if verify and not damaged:
        check_trained_images(store, plan)
    return _enqueue_from(store, queue, plan, STAGES[0])


def retry(store: ObjectStore, queue: Queue, run: str) -> int:
    """Retry films that were set aside, and resume the run.

    The other films of their shards are recreated with them, to the same bytes.

    Returns:
        Number of enqueued units.

    Raises:
        RunNotFound: there is no such run.
        FilmsChanged: the data set holds other films than those of the run.
    """
    plan = read_plan(store, run)
    check_same_films(store, plan)
    queue.forget_tries(run)
    for failure in failures(store, run):
        if failure.film is None:
            continue
        for stage in SHARDED[SHARDED.index(failure.stage) :]:
            store.delete(plan.done_key(stage, failure.unit))
        store.delete(layout.failure(run, failure.stage, failure.film))
    return resume(store, queue, run)


def cancel(store: ObjectStore, run: str) -> None:
    """Cancel a run: units in progress stop soon, queued ones do not start, results stay.

    Raises:
        RunNotFound: there is no such run.
    """
    read_plan(store, run)
    store.put(layout.cancelled(run), now().encode())


def is_cancelled(store: ObjectStore, run: str) -> bool:
    """Return True if the run was cancelled and not resumed."""
    return store.exists(layout.cancelled(run))


def _damaged(store: ObjectStore, plan: Plan, stage: Stage) -> Iterator[Unit]:
    """Yield the finished shards with an image that is damaged or missing, and those of another source."""
    for unit in plan.units(stage):
        try:
            if not images_are_intact(store, read_document(store, unit.done_key, Shard)):
                yield unit
        except ObjectUnreadable:
            yield unit
        except ObjectNotFound:
            continue


def give_up(store: ObjectStore, run: str, stage: Stage, unit: str, error: Exception) -> Failure:
    """Store the reason why a unit is given up."""
    failure = Failure(stage=stage, unit=unit, code=code_of(error), message=text_of(error), when=now())
    store.put(layout.failure(run, stage, unit), document(failure, indent=1))
    return failure


def set_aside(store: ObjectStore, plan: Plan, unit: str, films: Iterable[SetAside]) -> None:
    """Store the reasons why films of a shard were set aside."""
    for film in films:
        failure = Failure(
            stage=film.stage, unit=unit, film=film.film, code=film.code, message=film.message, when=now()
        )  # fmt: skip
        store.put(layout.failure(plan.run, film.stage, film.film), document(failure, indent=1))


def failures(store: ObjectStore, run: str) -> list[Failure]:
    """Read the failures of a run: units and films."""
    return [_read_failure(store, run, key) for key in store.list(layout.failures(run))]


def _read_failure(store: ObjectStore, run: str, key: str) -> Failure:
    """Read why a unit or a film failed; its key replaces a reason that can't be read."""
    try:
        return read_document(store, key, Failure)
    except ObjectUnreadable as error:
        stage, _, name = key.removeprefix(layout.failures(run)).removesuffix(".json").partition("/")
        known = next((known for known in STAGES if known == stage), None)
        if known is None:
            raise
        return Failure(stage=known, unit=name, code=error.code, message=str(error), when="")


def missing_units(store: ObjectStore, plan: Plan, stage: Stage) -> Iterator[Unit]:
    """Yield the missing units of a stage in the order of their keys, by one listing of the store.

    What was made from something else than what is there now is not done.
    """
    compared = _with_presence(store, plan, stage)
    while chunk := list(islice(compared, _COMPARED_AT_ONCE)):
        stale = set(stale_units(store, plan, stage, [unit for unit, there in chunk if there]))
        yield from (unit for unit, there in chunk if not there or unit in stale)


def _with_presence(store: ObjectStore, plan: Plan, stage: Stage) -> Iterator[tuple[Unit, bool]]:
    """Yield the units of a stage in the order of their keys, each with whether its object is there."""
    units = plan.units(stage)
    present: Iterator[str] | None = None
    if stage not in SHARDED:
        units = iter(sorted(units, key=lambda unit: unit.done_key))
    for unit in units:
        if present is None:
            present = store.list(plan.done_prefix(stage))
            key = next(present, None)
        while key is not None and key < unit.done_key:
            key = next(present, None)
        yield unit, key == unit.done_key


def list_runs(store: ObjectStore) -> list[str]:
    """List all runs, the oldest first; a run's name begins with its time."""
    suffix = "/plan.json"
    return [key.split("/")[1] for key in store.list(layout.runs()) if key.endswith(suffix)]
