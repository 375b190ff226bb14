"""Status of a run: progress and rate from the store, waiting messages from the broker."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache
from typing import Literal

from shared.domain.films import Dataset
from shared.domain.records import Record
from shared.errors import ObjectNotFound, ObjectUnreadable, QueueUnavailable
from shared.modelling.network_table import as_network
from shared.queue.messages import STAGES, Queue, QueueDepth, Stage
from shared.runs.pipeline import Failure, failures, is_cancelled
from shared.runs.plan import SHARDED, Plan, read_plan
from shared.runs.sources import READERS, films_changed, is_stale, source_key, stored_dataset
from shared.store import layout
from shared.store.documents import read_document
from shared.store.interface import ObjectStore

_RATE_WINDOW_S = 60.0
State = Literal["running", "failed", "cancelled", "finished"]


class JobProgress(Record):
    """Progress of a training job, written after every epoch."""

    epoch: int
    epochs: int
    images_per_second: float
    seconds_per_epoch: float
    train_loss: float
    validation_loss: float


class StageStatus(Record):
    """Status of a stage in units and, if a unit is a shard, in films.

    Attributes:
        set_aside: films set aside in this stage or before.
        rate: films or epochs per second over the last minute; None if none was finished.
        left_s: remaining seconds at that rate.
    """

    stage: Stage
    units: int
    done: int
    films: int
    films_done: int
    failed: int
    set_aside: int
    rate: float | None = None
    left_s: float | None = None


class RunStatus(Record):
    """Status of a run.

    Attributes:
        jobs: progress of the unfinished training jobs, by name.
        finished_jobs: names of the finished training jobs.
        queue: waiting messages; None if the broker was not asked or does not answer.
        films_changed: the data set holds other films now, so that the run can't continue.
    """

    run: str
    dataset: str
    synthetic: bool
    state: State
    stages: tuple[StageStatus, ...]
    failures: tuple[Failure, ...]
    jobs: dict[str, JobProgress]
    finished_jobs: frozenset[str]
    queue: QueueDepth | None
    films_changed: bool = False

    @property
    def current(self) -> StageStatus | None:
        """The first incomplete stage; None if all are complete."""
        return next((stage for stage in self.stages if stage.done < stage.units), None)

    @property
    def stands_still(self) -> bool:
        """True if all missing units of the current stage were given up."""
        current = self.current
        return current is not None and current.failed > 0 and current.done + current.failed >= current.units


def read_status(store: ObjectStore, run: str, queue: Queue | None = None) -> RunStatus:
    """Read the status of a run; lists every stage once.

    Raises:
        RunNotFound: there is no such run.
    """
    plan = read_plan(store, run)
    failed = tuple(failures(store, run))
    stages, jobs, finished_jobs = [], {}, frozenset[str]()
    aside = 0
    dataset, changed = stored_dataset(store, plan), films_changed(store, plan)
    for stage in STAGES:
        done, rate = _done(store, plan, stage, None if changed else dataset)
        given_up = sum(failure.stage == stage and failure.film is None for failure in failed)
        aside += sum(failure.stage == stage and failure.film is not None for failure in failed)
        current = _sharded(plan, stage, len(done), rate, aside) if stage in SHARDED else _long(plan, stage, len(done))
        if stage == "train":
            finished_jobs = frozenset(done)
            jobs = _jobs(store, plan, finished_jobs)
            current = _with_epochs(plan, current, jobs, finished_jobs)
        stages.append(current.model_copy(update={"failed": given_up}))
    return RunStatus(
        run=run,
        dataset=plan.dataset,
        synthetic=plan.synthetic,
        state=_state(store, run, stages),
        stages=tuple(stages),
        failures=failed,
        jobs=jobs,
        finished_jobs=finished_jobs,
        queue=_depth(queue),
        films_changed=changed,
    )


def _done(store: ObjectStore, plan: Plan, stage: Stage, dataset: Dataset | None) -> tuple[list[str], float | None]:
    """Return the names of the finished units, and units per second over the last minute."""
    names = {unit.done_key: unit.name for unit in plan.units(stage)}
    if not names:
        return [], None
    found = [(entry.modified, entry.key) for entry in store.entries(plan.done_prefix(stage)) if entry.key in names]
    if stage in SHARDED and dataset:
        found = _of_these_films(store, plan, stage, dataset, names, found)
    recent = [modified for modified, _ in found if modified > time.time() - _RATE_WINDOW_S]
    span = time.time() - min(recent) if len(recent) > 1 else 0.0
    return [names[key] for _, key in found], len(recent) / span if span > 0 else None


def _of_these_films(
    store: ObjectStore,
    plan: Plan,
    stage: Stage,
    dataset: Dataset,
    names: dict[str, str],
    found: list[tuple[float, str]],
) -> list[tuple[float, str]]:
    """Leave out the shards of earlier runs that were made from other films. Those of this run need no look."""
    began = datetime.fromisoformat(plan.created).timestamp()
    earlier = [(modified, key) for modified, key in found if modified < began]
    if not earlier:
        return found

    def stale(shard: tuple[float, str]) -> bool:
        modified, key = shard
        return _was_stale(store, source_key(plan, dataset, stage, names[key]), key, modified)

    with ThreadPoolExecutor(READERS) as readers:
        others = {key for (_, key), is_so in zip(earlier, readers.map(stale, earlier), strict=True) if is_so}
    return [shard for shard in found if shard[1] not in others]


@lru_cache(maxsize=200_000)
def _was_stale(store: ObjectStore, source: str | None, done: str, _modified: float) -> bool:
    """Look at each version of a shard once: a run is shown again and again."""
    return is_stale(store, source, done)


def _sharded(plan: Plan, stage: Stage, done: int, rate: float | None, aside: int) -> StageStatus:
    units = plan.count(stage)
    films = min(done * plan.shard_films, plan.films)
    film_rate = rate * plan.shard_films if rate and done < units else None
    return StageStatus(
        stage=stage,
        units=units,
        done=done,
        films=plan.films,
        films_done=max(0, films - aside),  # a film may be set aside before this stage has done its shard
        failed=0,
        set_aside=aside,
        rate=film_rate,
        left_s=(plan.films - films) / film_rate if film_rate else None,
    )


def _long(plan: Plan, stage: Stage, done: int) -> StageStatus:
    return StageStatus(stage=stage, units=plan.count(stage), done=done, films=0, films_done=0, failed=0, set_aside=0)


def _with_epochs(plan: Plan, stage: StageStatus, jobs: dict[str, JobProgress], finished: frozenset[str]) -> StageStatus:
    """Add the epochs per second of all running jobs, and the remaining time at that rate."""
    rate = sum(1 / job.seconds_per_epoch for job in jobs.values() if job.seconds_per_epoch)
    if not rate:
        return stage
    remaining = sum(
        plan.training[as_network(name.partition("/")[0])].epochs - (jobs[name].epoch if name in jobs else 0)
        for name in plan.names("train")
        if name not in finished
    )
    return stage.model_copy(update={"rate": rate, "left_s": remaining / rate})


def _jobs(store: ObjectStore, plan: Plan, finished: frozenset[str]) -> dict[str, JobProgress]:
    jobs = {}
    for name in plan.names("train"):
        if name in finished:
            continue
        try:
            jobs[name] = read_document(store, layout.fold_file(plan.run, name, "progress.json"), JobProgress)
        except (ObjectNotFound, ObjectUnreadable):
            continue
    return jobs


def _state(store: ObjectStore, run: str, stages: list[StageStatus]) -> State:
    if all(stage.done == stage.units for stage in stages):
        return "finished"
    if is_cancelled(store, run):
        return "cancelled"
    return "failed" if any(stage.failed for stage in stages) else "running"


def _depth(queue: Queue | None) -> QueueDepth | None:
    try:
        return queue.depth() if queue else None
    except QueueUnavailable:
        return None
