"""Workers of augment and segment whose core sleeps, to see what the queue and the store cost around it."""

import hashlib
import os
import time

from shared.domain.films import Film, FilmShard, Variant
from shared.queue.process import WorkerProcess
from shared.queue.worker import register
from shared.runs.plan import Plan
from shared.runs.shards import ShardInput, ShardStage
from shared.runs.tasks import ShardTask
from shared.settings import WorkerProcessSettings, read_settings
from shared.store.ingest import read_dataset, shard_key
from shared.store.interface import ObjectStore
from shared.store.prefetch import ObjectAccess

_process = WorkerProcess(read_settings(WorkerProcessSettings))
_SECONDS = float(os.environ["BENCH_SECONDS_A_FILM"])


def read_films(store: ObjectStore, plan: Plan, shard: str) -> ShardInput[Film]:
    document = store.get(shard_key(read_dataset(store, plan.dataset), shard))
    films = FilmShard.model_validate_json(document).films
    return ShardInput({film.id: film for film in films}, hashlib.sha256(document).hexdigest())


def sleep(_files: ObjectAccess, _plan: Plan, _film: Film) -> list[Variant]:
    time.sleep(_SECONDS)
    return []


register(
    _process,
    ShardTask(ShardStage("augment", lambda plan: plan.augmentation.id, read_films, sleep), retries=4),
    ShardTask(ShardStage("segment", lambda plan: plan.augmentation.segmented_id, read_films, sleep), retries=4),
)
_process.listen()
app = _process.app
"""What `celery -A tests.bench.sleeping` runs."""
