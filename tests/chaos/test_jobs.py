"""Long jobs whose worker goes, by force or in good order, and one that comes back after it was taken for dead."""

import json
import signal
import time

import pytest

from shared.domain.films import Shard
from shared.queue.claim import Claim
from shared.runs import pipeline
from shared.runs.plan import Plan
from shared.runs.status import read_status
from shared.store import layout
from shared.store.interface import ObjectStore
from tests.chaos.cluster import Cluster, Worker, signal_group
from tests.chaos.rounds import Films, begin, finish
from tests.chaos.verify import differences, inventory, remains
from tests.support.servers import wait_until


@pytest.fixture
def training(cluster: Cluster, films: Films) -> tuple[ObjectStore, Plan]:
    """A run of a single long training job that has left its first checkpoint."""
    store, plan = begin(cluster, films)
    recipe = plan.training["modified_cnn"].model_copy(update={"epochs": 24})
    plan = plan.model_copy(update={"training": {"modified_cnn": recipe}, "protocols": ("paper",), "promote": ()})
    pipeline.start(store, cluster.queue(), plan)
    wait_until(lambda: store.exists(checkpoint_of(plan)), 60)
    return store, plan


def job_of(plan: Plan) -> str:
    return next(plan.names("train"))


def checkpoint_of(plan: Plan) -> str:
    return layout.fold_file(plan.run, job_of(plan), "checkpoint.safetensors")


def claim_of(store: ObjectStore, plan: Plan) -> Claim:
    return Claim.model_validate_json(store.get(layout.claim(plan.run, "train", job_of(plan))))


def trainer(cluster: Cluster, plan: Plan) -> Worker:
    """The worker that has the job in hand."""
    pid = next(
        int(cluster.redis.get(key).decode().split()[1])
        for key in cluster.redis.scan_iter("mammostack:lease:*/training/*")
    )
    return next(place for place in cluster.places if place.process.pid == pid)


def went_on(cluster: Cluster, plan: Plan) -> list[int]:
    """After how many epochs workers went on with the job, from their logs."""
    lines = [
        json.loads(line)
        for path in (cluster.folder / "logs").glob("train-*.log")
        for line in path.read_text(errors="replace").splitlines()
        if line.startswith("{") and '"job resumes"' in line
    ]
    return [line["epochs"] for line in lines if line["run"] == plan.run]


def images_of(found: dict[str, str]) -> dict[str, str]:
    return {key: digest for key, digest in found.items() if key.startswith("data_")}


class TestJobs:
    def test_a_job_whose_worker_was_killed_goes_on_from_its_checkpoint_elsewhere_within_a_minute(
        self, cluster: Cluster, training: tuple[ObjectStore, Plan]
    ) -> None:
        store, plan = training
        trainer(cluster, plan).process.send_signal(signal.SIGKILL)
        seconds = wait_until(lambda: claim_of(store, plan).token == 2, 60)
        print(f"taken over after {seconds:.1f} s")
        assert finish(cluster, store, plan).wrong == []
        assert went_on(cluster, plan)[0] >= 1
        assert remains(cluster, store, plan) == []

    def test_a_worker_that_is_asked_to_end_leaves_a_checkpoint_and_the_next_one_goes_on_at_once(
        self, cluster: Cluster, training: tuple[ObjectStore, Plan]
    ) -> None:
        store, plan = training
        place = trainer(cluster, plan)
        process = place.process
        process.send_signal(signal.SIGTERM)
        seconds = wait_until(lambda: claim_of(store, plan).token == 2, 15)
        print(f"handed over after {seconds:.1f} s")
        assert process.wait(timeout=30) == 0
        assert claim_of(store, plan).deaths == 0
        wait_until(lambda: bool(went_on(cluster, plan)), 15)
        pipeline.cancel(store, plan.run)
        assert remains(cluster, store, plan) == []

    def test_a_worker_that_comes_back_after_it_was_taken_for_dead_can_not_write(
        self, cluster: Cluster, training: tuple[ObjectStore, Plan]
    ) -> None:
        store, plan = training
        place = trainer(cluster, plan)
        signal_group(place.process, signal.SIGSTOP)
        try:
            wait_until(lambda: claim_of(store, plan).token == 2, 60)
        finally:
            signal_group(place.process, signal.SIGCONT)
        log = cluster.folder / "logs" / f"{place.name}.log"
        wait_until(lambda: "taken over from owner" in log.read_text() and plan.run in log.read_text(), 60)
        assert finish(cluster, store, plan).wrong == []
        assert claim_of(store, plan).token == 2
        assert remains(cluster, store, plan) == []

    def test_a_run_that_is_cancelled_stops_in_the_middle_of_a_job_and_can_be_taken_up_again(
        self, cluster: Cluster, training: tuple[ObjectStore, Plan]
    ) -> None:
        store, plan = training
        pipeline.cancel(store, plan.run)
        seconds = wait_until(lambda: claim_of(store, plan).released, 15)
        print(f"stopped after {seconds:.1f} s")
        time.sleep(1)
        assert read_status(store, plan.run).state == "cancelled"
        assert remains(cluster, store, plan) == []
        assert pipeline.resume(store, cluster.queue(), plan.run) == 1
        assert finish(cluster, store, plan).wrong == []
        assert went_on(cluster, plan)

    def test_films_that_kill_their_process_are_set_aside_the_rest_is_done_and_retry_brings_them_back(
        self, cluster: Cluster, films: Films, undisturbed: dict[str, str]
    ) -> None:
        store, plan = begin(cluster, films)
        cluster.make_deadly(films.files["mdb005"])
        try:
            pipeline.start(store, cluster.queue(), plan)
            wait_until(lambda: store.exists(plan.done_key("segment", "000002")), 90)
        finally:
            cluster.make_deadly()
        (failure,) = read_status(store, plan.run).failures
        assert (failure.film, failure.code, failure.stage) == ("mdb005", "worker-lost", "augment")
        shard = Shard.model_validate_json(store.get(plan.done_key("augment", "000002")))
        assert {variant.film for variant in shard.variants} == {"mdb006"}
        wait_until(lambda: read_status(store, plan.run).state == "finished", 60)

        assert pipeline.retry(store, cluster.queue(), plan.run) == 1
        wait_until(lambda: store.exists(plan.done_key("segment", "000002")), 30)
        assert pipeline.failures(store, plan.run) == []
        assert differences(images_of(undisturbed), images_of(inventory(store, plan))) == []
