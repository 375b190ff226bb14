"""One round: the real pipeline over generated films while a cluster is hurt, finished with what ops have: `resume` and
`retry`. Then everything that is there is compared with what an undisturbed run left.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.datasets.entries import read_manifest
from shared.datasets.mias import Source
from shared.domain.films import Dataset, Manifest, describe
from shared.errors import MammoError
from shared.modelling.profiles import PROFILES
from shared.queue.messages import Message
from shared.runs import pipeline
from shared.runs.plan import Plan, RunOptions, make_plan
from shared.runs.status import RunStatus, read_status
from shared.store.ingest import film_key, write_manifests
from shared.store.interface import ObjectStore
from tests.chaos.cluster import Cluster
from tests.chaos.verify import differences, inventory, of_every_release, remains

Fault = Callable[[], None]
_EPOCHS, _SHARD_FILMS = 4, 2
_STUCK_S, _LIMIT_S = 15.0, 240.0


@dataclass
class Films:
    """A generated data set: its manifest and its files, by film."""

    manifest: Manifest
    dataset: Dataset
    files: dict[str, bytes]


@dataclass
class Outcome:
    """How a round went. `faults` holds those that came before the run had ended; `wrong` is empty where all is well."""

    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    resumes: int = 0
    retries: int = 0
    wrong: list[str] = field(default_factory=list)


def read_films(folder: Path) -> Films:
    source = Source(folder)
    manifest = read_manifest(source, "films", lambda _: None)
    return Films(manifest, describe(manifest), {entry.id: source.files.read(entry.file) for entry in source.entries()})


def store_films(store: ObjectStore, films: Films) -> Dataset:
    """Store the films as a data set in small shards."""
    for film in films.manifest.films:
        store.put(film_key(films.dataset, film), films.files[film.id])
    dataset = films.dataset.model_copy(update={"shard_films": _SHARD_FILMS})
    write_manifests(store, dataset, films.manifest)
    return dataset


def begin(cluster: Cluster, films: Films) -> tuple[ObjectStore, Plan]:
    """Stores the films in an empty store and makes a plan over them: small shards, four epochs, one network."""
    cluster.redis.flushall()
    store = cluster.empty_store()
    dataset = store_films(store, films)
    plan = make_plan(
        dataset,
        PROFILES["test"],
        RunOptions(
            networks=("modified_cnn",), protocols=("patient", "paper"), weights={}, promote=("modified_cnn",), seed=7
        ),
    )
    recipe = plan.training["modified_cnn"].model_copy(update={"epochs": _EPOCHS})
    return store, plan.model_copy(update={"training": {"modified_cnn": recipe}})


def undisturbed_run(cluster: Cluster, films: Films) -> dict[str, str]:
    """What a run leaves to which nothing happened."""
    store, plan = begin(cluster, films)
    pipeline.start(store, cluster.queue(), plan)
    outcome = finish(cluster, store, plan)
    if outcome.wrong or outcome.resumes:
        raise AssertionError(f"the undisturbed run did not end by itself: {outcome}")
    return inventory(store, plan)


def play(cluster: Cluster, films: Films, faults: Sequence[Fault], undisturbed: dict[str, str]) -> Outcome:
    """One run with these faults at random moments, one after the other, as long as it has not ended."""
    began, struck = time.monotonic(), []
    store, plan = begin(cluster, films)
    pipeline.start(store, cluster.queue(), plan)
    if cluster.twice:
        for unit in plan.names("augment"):
            cluster.queue().send_again("augment", Message(run=plan.run, unit=unit), tries=0, in_s=0)
    for fault in faults:
        time.sleep(cluster.chance.uniform(0.5, 3))
        status = _look(store, plan)
        if status and status.state == "finished":
            break
        fault()
        struck.append(fault.__name__)
    cluster.settle()
    outcome = finish(cluster, store, plan)
    outcome.faults += struck
    outcome.wrong += remains(cluster, store, plan)
    left = inventory(store, plan)
    if "swap_release" in struck:
        undisturbed, left = of_every_release(undisturbed), of_every_release(left)
    outcome.wrong += differences(undisturbed, left)
    outcome.seconds = time.monotonic() - began
    return outcome


def finish(cluster: Cluster, store: ObjectStore, plan: Plan) -> Outcome:
    """As ops would: looks at the status, and when nothing has moved for a while, resumes or retries."""
    outcome = Outcome()
    seen, since, limit = "", time.monotonic(), time.monotonic() + _LIMIT_S
    while True:
        status = _look(store, plan)
        if status and status.state == "finished" and not status.failures:
            return outcome
        if time.monotonic() > limit:
            outcome.wrong.append(f"not finished within {_LIMIT_S:.0f} s")
            return outcome
        now = _moved(status) if status else seen
        if now != seen:
            seen, since = now, time.monotonic()
        elif status and time.monotonic() - since > _STUCK_S:
            cluster.say(f"nothing has moved for {_STUCK_S:.0f} s: resume")
            if status.failures:
                pipeline.retry(store, cluster.queue(), plan.run)
                outcome.retries += 1
            else:
                pipeline.resume(store, cluster.queue(), plan.run)
                outcome.resumes += 1
            since = time.monotonic()
        time.sleep(0.5)


def _moved(status: RunStatus) -> str:
    """What changes when something is done, and not with time alone."""
    done = [(stage.done, stage.failed, stage.set_aside) for stage in status.stages]
    return f"{done} {[job.epoch for job in status.jobs.values()]}"


def _look(store: ObjectStore, plan: Plan) -> RunStatus | None:
    try:
        return read_status(store, plan.run)
    except MammoError:
        return None
