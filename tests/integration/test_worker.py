"""What a worker does with work that can't be done, and with messages that come twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from shared.console import follow
from shared.datasets.manifest import Manifest
from shared.datasets.mias import Source
from shared.embedded.stack import Stack, running_stack, wait_for
from shared.errors import RunError
from shared.modelling.recipes import profile
from shared.queue import pipeline
from shared.queue.lease import lease
from shared.queue.messages import message_of
from shared.queue.plan import Plan, make_plan
from shared.queue.worker import enqueue_with, make_app
from shared.store import keys
from shared.store.ingest import ingest
from shared.store.objects import ObjectStore, open_store


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, str(folder / "store")) as running:
        yield running


def plan_over(manifest: Manifest) -> Plan:
    """Augment, segment and the training of the smallest network, by one protocol."""
    return make_plan(
        manifest,
        profile("test"),
        networks=("modified_cnn",),
        protocols=("paper",),
        weights={},
        promote=(),
        seed=1,
    )


def test_a_damaged_film_stops_its_shard_alone_says_why_and_is_mended_by_resume(
    stack: Stack, synthetic_films: Path
) -> None:
    store: ObjectStore = open_store(stack.settings)
    enqueue = enqueue_with(make_app(stack.settings), patient=False)
    manifest = ingest(store, Source(synthetic_films), "damaged").manifest
    key = keys.raw_film("damaged", "mdb003")
    whole = store.get(key)
    store.put(key, whole[:1000])
    plan = plan_over(manifest)

    pipeline.start(store, enqueue, plan)
    with pytest.raises(RunError, match=rf"augment 000000 was given up.*mammo resume {plan.run}"):
        follow(store, plan, stack.processes.check)
    (failure,) = pipeline.status(store, plan.run).failures
    assert failure.code == "undecodable-image"
    assert store.exists(plan.units("augment")[1].done_key)

    store.put(key, whole)
    assert pipeline.resume(store, enqueue, plan.run) == 1
    follow(store, plan, stack.processes.check)
    assert pipeline.status(store, plan.run).failures == ()


def test_every_message_twice_gives_the_same_objects_as_once(stack: Stack, synthetic_films: Path) -> None:
    store = open_store(stack.settings)
    enqueue = enqueue_with(make_app(stack.settings), patient=False)
    manifest = ingest(store, Source(synthetic_films), "twice").manifest
    once, twice = plan_over(manifest), plan_over(manifest)

    pipeline.start(store, enqueue, once)
    follow(store, once, stack.processes.check)
    before = {key: store.get(key) for key in store.list("data_segmentation/twice/")}

    pipeline.start(store, enqueue, twice)
    for stage in ("augment", "segment", "train"):
        for unit in twice.units(stage):
            enqueue(stage, message_of(twice.run, unit))
    follow(store, twice, stack.processes.check)
    assert {key: store.get(key) for key in store.list("data_segmentation/twice/")} == before
    assert pipeline.status(store, twice.run).failures == ()


def test_a_job_that_another_worker_holds_waits_and_is_done_when_that_worker_is_gone(
    stack: Stack, synthetic_films: Path
) -> None:
    store = open_store(stack.settings)
    manifest = ingest(store, Source(synthetic_films), "held").manifest
    plan = plan_over(manifest)
    (unit,) = plan.units("train")
    client = redis.Redis.from_url(stack.settings.redis_url.get_secret_value())
    with lease(client, f"{plan.run}/train/{unit.name}", ttl_s=30):
        pipeline.start(store, enqueue_with(make_app(stack.settings), patient=False), plan)
        log = stack.processes.folder / "logs" / "train.log"
        wait_for(
            "the job to wait", lambda: plan.run in log.read_text() and "unit waits" in log.read_text(), stack.processes
        )
        assert not store.exists(unit.done_key)
    follow(store, plan, stack.processes.check)
    assert pipeline.status(store, plan.run).failures == ()
