"""What a worker does with work that can't be done, and with messages that come twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from shared.cli.console import read_evaluation
from shared.cli.progress import follow
from shared.datasets.mias import Source
from shared.domain.films import Dataset
from shared.local.stack import Stack, running_stack, wait_for
from shared.modelling.profiles import profile
from shared.queue.celery_app import make_app
from shared.queue.lease import lease
from shared.queue.messages import SCHEMA, SCHEMA_NUMBER, Message
from shared.runs import pipeline
from shared.runs.plan import Plan, RunOptions, make_plan
from shared.runs.status import read_status
from shared.store.ingest import ingest
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from tests.support.builders import film_place, queue_of


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, str(folder / "store")) as running:
        yield running


def plan_over(dataset: Dataset) -> Plan:
    """Augment, segment and the training of the smallest network, by one protocol."""
    return make_plan(
        dataset,
        profile("test"),
        RunOptions(networks=("modified_cnn",), protocols=("paper",), weights={}, promote=(), seed=1),
    )


class TestWorker:
    def test_films_that_can_not_be_processed_are_set_aside_with_their_reason_and_come_back_by_retry(
        self, stack: Stack, synthetic_films: Path
    ) -> None:
        store: ObjectStore = open_store(stack.settings.store)
        queue = queue_of(stack)
        dataset = ingest(store, Source(synthetic_films), "damaged").dataset
        key = film_place(store, "mdb003", "damaged")
        whole = store.get(key)
        store.put(key, whole[:1000])
        plan = plan_over(dataset)

        pipeline.start(store, queue, plan)
        follow(store, plan, stack.processes.check)
        status = read_status(store, plan.run)
        (failure,) = status.failures
        assert (failure.stage, failure.film, failure.code) == ("augment", "mdb003", "undecodable-image")
        assert [(stage.films_done, stage.set_aside) for stage in status.stages[:2]] == [(15, 1), (15, 1)]
        assert read_evaluation(store, plan.run).films_set_aside == 1
        assert pipeline.resume(store, queue, plan.run) == 0

        store.put(key, whole)
        assert pipeline.retry(store, queue, plan.run) == 1
        follow(store, plan, stack.processes.check)
        assert read_status(store, plan.run).failures == ()
        again = plan_over(dataset)
        pipeline.start(store, queue, again)
        follow(store, again, stack.processes.check)
        assert read_evaluation(store, again.run).films_set_aside == 0

    def test_every_message_twice_gives_the_same_objects_as_once(self, stack: Stack, synthetic_films: Path) -> None:
        store = open_store(stack.settings.store)
        queue = queue_of(stack)
        dataset = ingest(store, Source(synthetic_films), "twice").dataset
        once, twice = plan_over(dataset), plan_over(dataset)

        pipeline.start(store, queue, once)
        follow(store, once, stack.processes.check)
        before = {key: store.get(key) for key in store.list("data_segmentation/twice/")}

        pipeline.start(store, queue, twice)
        for stage in ("augment", "segment", "train"):
            for unit in twice.names(stage):
                queue.send_again(stage, Message(run=twice.run, unit=unit), tries=0, in_s=0)
        follow(store, twice, stack.processes.check)
        assert {key: store.get(key) for key in store.list("data_segmentation/twice/")} == before
        assert read_status(store, twice.run).failures == ()

    def test_a_job_that_another_worker_holds_waits_and_is_done_when_that_worker_is_gone(
        self, stack: Stack, synthetic_films: Path
    ) -> None:
        store = open_store(stack.settings.store)
        dataset = ingest(store, Source(synthetic_films), "held").dataset
        plan = plan_over(dataset)
        (unit,) = plan.units("train")
        client = redis.Redis.from_url(stack.settings.broker.redis_url.get_secret_value())
        with lease(client, unit.done_key, ttl_s=30):
            pipeline.start(store, queue_of(stack), plan)
            log = stack.processes.folder / "logs" / "train.log"
            wait_for(
                "the job to wait",
                lambda: plan.run in log.read_text() and "unit waits" in log.read_text(),
                stack.processes,
            )
            assert not store.exists(unit.done_key)
        follow(store, plan, stack.processes.check)
        assert read_status(store, plan.run).failures == ()

    def test_messages_of_a_later_release_are_left_to_its_workers_and_hold_up_no_other(
        self, stack: Stack, synthetic_films: Path
    ) -> None:
        store, queue = open_store(stack.settings.store), queue_of(stack)
        app, arguments = make_app(stack.settings.broker), {"run": "later", "unit": "000000", "more": [1]}
        app.send_task("mammostack.unknown", kwargs=arguments, queue="augment")
        app.send_task("mammostack.augment", kwargs=arguments, queue="augment", headers={SCHEMA: SCHEMA_NUMBER + 2})
        plan = plan_over(ingest(store, Source(synthetic_films), "later").dataset)
        pipeline.start(store, queue, plan)
        follow(store, plan, stack.processes.check)
        assert read_status(store, plan.run).state == "finished"
        depth = queue.depth()
        assert depth.waiting["augment"] + depth.in_hand == 2
