"""The whole flow of a run, in one readable place: augment -> segment -> train -> evaluate -> publish -> promote.

The store is the only truth. A unit of work is done when its object is there; a stage is complete when all its units
are; whoever sees that first, by a conditional write, enqueues the next stage. So messages may be lost or delivered
twice, and `resume` finishes any run by enqueuing what is missing.
"""

from datetime import UTC, datetime
from typing import Literal

from shared.datasets.manifest import Record
from shared.errors import MammoError, ObjectNotFound, PreconditionFailed, QueueUnavailable
from shared.queue.messages import Enqueue, message_of
from shared.queue.plan import SHARD_FILMS, STAGES, Plan, Stage, Unit, check_plan, read_plan
from shared.store import keys
from shared.store.objects import ObjectStore


class Failure(Record):
    """Why a unit of work was given up; kept under `failed/` until the run is resumed."""

    stage: Stage
    unit: str
    code: str
    message: str
    when: str


class JobProgress(Record):
    """How far a training job is; written by the job after every epoch, read by `status`."""

    epoch: int
    epochs: int
    images_per_second: float
    train_loss: float
    validation_loss: float


class StageStatus(Record):
    """Units and, where a unit is a shard of films, films of one stage."""

    stage: Stage
    units: int
    done: int
    films: int
    films_done: int
    failed: int


class RunStatus(Record):
    """A run as the store tells it. `jobs` holds the training jobs that have begun and are not done, `finished_jobs`
    the names of those that are."""

    run: str
    dataset: str
    synthetic: bool
    state: Literal["running", "failed", "finished"]
    stages: tuple[StageStatus, ...]
    failures: tuple[Failure, ...]
    jobs: dict[str, JobProgress]
    finished_jobs: frozenset[str]


def start(store: ObjectStore, enqueue: Enqueue, plan: Plan) -> None:
    """Writes the plan and enqueues the first unfinished stage.

    Raises:
        PlanError: the plan can't be carried out.
        PreconditionFailed: there is a run of this name already.
        QueueUnavailable: the broker is away; the plan is kept, and the run can be resumed.
    """
    check_plan(plan)
    store.put(keys.run_plan(plan.run), plan.model_dump_json(indent=1).encode(), if_absent=True)
    try:
        _enqueue_from(store, enqueue, plan, STAGES[0])
    except QueueUnavailable as error:
        raise QueueUnavailable(f"{error}, then `mammo resume {plan.run}`; its plan is kept") from error


def resume(store: ObjectStore, enqueue: Enqueue, run: str) -> int:
    """Forgets the run's failures and enqueues the missing units of its first incomplete stage; returns how many.

    Raises:
        RunNotFound: there is no such run.
    """
    plan = read_plan(store, run)
    unfinished = next((index for index, stage in enumerate(STAGES) if missing_units(store, plan, stage)), len(STAGES))
    markers = [keys.stage_marker(run, stage) for stage in STAGES[unfinished:]]
    for key in (*store.list(keys.failures(run)), *markers):
        store.delete(key)
    return _enqueue_from(store, enqueue, plan, STAGES[0])


def advance(store: ObjectStore, enqueue: Enqueue, plan: Plan, stage: Stage) -> None:
    """Called when a unit of `stage` is done: if it was the last one, and nobody was faster, the next stage begins."""
    if missing_units(store, plan, stage):
        return
    marker, following = keys.stage_marker(plan.run, stage), STAGES.index(stage) + 1
    try:
        store.put(marker, _now().encode(), if_absent=True)
    except PreconditionFailed:
        return
    try:
        if following < len(STAGES):
            _enqueue_from(store, enqueue, plan, STAGES[following])
    except MammoError:
        store.delete(marker)  # or the next try would believe that it was done
        raise


def give_up(store: ObjectStore, plan: Plan, stage: Stage, unit: str, error: Exception) -> Failure:
    """Sets a unit aside with its reason, where `status` shows it and `resume` picks it up again."""
    code = error.code if isinstance(error, MammoError) else "internal"
    text = str(error) if isinstance(error, MammoError) else f"{type(error).__name__}: {error}"
    failure = Failure(stage=stage, unit=unit, code=code, message=text, when=_now())
    store.put(keys.failure(plan.run, stage, unit), failure.model_dump_json(indent=1).encode())
    return failure


def missing_units(store: ObjectStore, plan: Plan, stage: Stage) -> list[Unit]:
    """The units of a stage that are not done. Lists the stage's manifests once."""
    units = plan.units(stage)
    if not units:
        return []
    present = set(store.list(plan.done_prefix(stage)))
    return [unit for unit in units if unit.done_key not in present]


def status(store: ObjectStore, run: str) -> RunStatus:
    """Where a run stands. Raises RunNotFound."""
    plan = read_plan(store, run)
    failures = tuple(Failure.model_validate_json(store.get(key)) for key in store.list(keys.failures(run)))
    stages, jobs, finished_jobs = [], {}, frozenset[str]()
    for stage in STAGES:
        units = plan.units(stage)
        missing = missing_units(store, plan, stage)
        done = len(units) - len(missing)
        sharded = stage in ("augment", "segment")
        stages.append(
            StageStatus(
                stage=stage,
                units=len(units),
                done=done,
                films=plan.films if sharded else 0,
                films_done=min(done * SHARD_FILMS, plan.films) if sharded else 0,
                failed=sum(failure.stage == stage for failure in failures),
            )
        )
        if stage == "train":
            jobs = _jobs(store, plan, missing)
            finished_jobs = frozenset(unit.name for unit in units) - {unit.name for unit in missing}
    finished = all(stage.done == stage.units for stage in stages)
    state: Literal["running", "failed", "finished"] = "finished" if finished else "failed" if failures else "running"
    return RunStatus(
        run=run,
        dataset=plan.dataset,
        synthetic=plan.synthetic,
        state=state,
        stages=tuple(stages),
        failures=failures,
        jobs=jobs,
        finished_jobs=finished_jobs,
    )


def list_runs(store: ObjectStore) -> list[str]:
    """Names of all runs, the oldest first (a run's name begins with its time)."""
    suffix = "/plan.json"
    return [key.split("/")[1] for key in store.list(keys.runs()) if key.endswith(suffix)]


def _enqueue_from(store: ObjectStore, enqueue: Enqueue, plan: Plan, first: Stage) -> int:
    for stage in STAGES[STAGES.index(first) :]:
        missing = missing_units(store, plan, stage)
        for unit in missing:
            enqueue(stage, message_of(plan.run, unit))
        if missing:
            return len(missing)
    return 0


def _jobs(store: ObjectStore, plan: Plan, missing: list[Unit]) -> dict[str, JobProgress]:
    jobs = {}
    for unit in missing:
        try:
            document = store.get(keys.fold_file(plan.run, unit.name, "progress.json"))
        except ObjectNotFound:
            continue
        jobs[unit.name] = JobProgress.model_validate_json(document)
    return jobs


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
