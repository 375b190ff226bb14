"""A training job as it is stored: what makes its result whole, and what makes a checkpoint its own."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from services.train.jobs import (
    MODEL,
    JobResult,
    TrainingJob,
    delete_weights,
    job_identity,
    parse_job,
    read_results,
    read_weights,
    result_is_intact,
    weights_key,
)
from shared.errors import ModelCorrupt, ObjectNotFound, PlanError
from shared.runs.plan import Plan
from shared.store import layout
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.builders import job_result, small_plan

HONEST, LEAKY = "resnet50/patient/fold-1", "resnet50/paper/fold-0"
WEIGHTS = b"the weights"
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


def result(name: str, data_sha256: str = "data", model_sha256: str | None = DIGEST) -> JobResult:
    return job_result(name, data_sha256=data_sha256, model_sha256=model_sha256)


def holding_out(stored: JobResult, films: str) -> JobResult:
    """The result, of held-out films whose ids begin with `films` in place of mdb0."""
    named = tuple(film.replace("mdb0", films) for film in stored.predictions.films)
    return stored.model_copy(update={"predictions": stored.predictions.model_copy(update={"films": named})})


def put(store: ObjectStore, plan: Plan, stored: JobResult) -> None:
    store.put(plan.done_key("train", stored.job.name), stored.model_dump_json().encode())


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def plan(store: DirectoryStore) -> Plan:
    """A run with the results of a job of each protocol; that of the honest one has weights."""
    plan = small_plan()
    put(store, plan, result(HONEST))
    put(store, plan, result(LEAKY, model_sha256=None))
    store.put(weights_key(plan, result(HONEST)), WEIGHTS)
    return plan


class TestParseJob:
    @pytest.mark.parametrize("name", [HONEST, LEAKY, "alexnet/patient/fold-12"])
    def test_a_job_is_what_its_name_says(self, name: str) -> None:
        assert parse_job(name).name == name

    @pytest.mark.parametrize(
        "name", ["", "resnet50", "resnet50/patient/fold-x", "vgg/patient/fold-0", "resnet50/honest/fold-0", "a/b/c/d"]
    )
    def test_what_names_no_job_is_refused(self, name: str) -> None:
        with pytest.raises(PlanError, match="is not a training job; expected NETWORK/PROTOCOL/fold-K"):
            parse_job(name)

    def test_a_result_is_read_as_it_was_written(self) -> None:
        stored = result(HONEST)
        assert JobResult.model_validate_json(stored.model_dump_json()) == stored


class TestWeights:
    def test_of_another_worker_take_no_ones_place(self, store: DirectoryStore, plan: Plan) -> None:
        other = hashlib.sha256(b"other").hexdigest()
        store.put(weights_key(plan, result(HONEST, model_sha256=other)), b"other")
        assert read_weights(store, plan, result(HONEST)) == WEIGHTS
        delete_weights(store, plan, HONEST)
        assert list(store.list(layout.fold_file(plan.run, HONEST, ""))) == [plan.done_key("train", HONEST)]

    def test_of_a_run_of_before_are_beside_its_result(self, store: DirectoryStore, plan: Plan) -> None:
        delete_weights(store, plan, HONEST)
        store.put(layout.fold_file(plan.run, HONEST, MODEL), WEIGHTS)
        assert read_weights(store, plan, result(HONEST)) == WEIGHTS
        store.put(layout.fold_file(plan.run, HONEST, MODEL), b"other")
        with pytest.raises(ModelCorrupt, match="differs from the trained weights"):
            read_weights(store, plan, result(HONEST))
        delete_weights(store, plan, HONEST)
        with pytest.raises(ObjectNotFound):
            read_weights(store, plan, result(HONEST))


class TestResultIsIntact:
    def test_a_result_whose_weights_are_those_it_names_is_whole(self, store: DirectoryStore, plan: Plan) -> None:
        assert result_is_intact(store, plan, HONEST)

    def test_a_result_of_the_leaky_protocol_is_whole_without_weights(self, store: DirectoryStore, plan: Plan) -> None:
        assert result_is_intact(store, plan, LEAKY)

    def test_a_job_that_was_not_done_has_no_result(self, store: DirectoryStore, plan: Plan) -> None:
        assert not result_is_intact(store, plan, "resnet50/patient/fold-0")

    @pytest.mark.parametrize("name", [HONEST, LEAKY])
    @pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"{}", b"\xff\0"], ids=str)
    def test_a_damaged_result_is_not_whole(self, store: DirectoryStore, plan: Plan, name: str, damaged: bytes) -> None:
        store.put(plan.done_key("train", name), damaged)
        assert not result_is_intact(store, plan, name)

    def test_a_truncated_result_is_not_whole(self, store: DirectoryStore, plan: Plan) -> None:
        key = plan.done_key("train", HONEST)
        store.put(key, store.get(key)[:-1])
        assert not result_is_intact(store, plan, HONEST)

    @pytest.mark.parametrize("damaged", [WEIGHTS + b"\0", b"", None], ids=["changed", "empty", "missing"])
    def test_a_result_whose_weights_are_damaged_is_not_whole_until_its_network_is_published(
        self, store: DirectoryStore, plan: Plan, damaged: bytes | None
    ) -> None:
        key = weights_key(plan, result(HONEST))
        store.delete(key)
        if damaged is not None:
            store.put(key, damaged)
        assert not result_is_intact(store, plan, HONEST)
        store.put(layout.published_mark(plan.run, "alexnet"), b"{}")
        assert not result_is_intact(store, plan, HONEST)
        store.put(layout.published_mark(plan.run, "resnet50"), b"{}")
        assert result_is_intact(store, plan, HONEST)

    def test_a_damaged_result_is_not_whole_although_its_network_is_published(
        self, store: DirectoryStore, plan: Plan
    ) -> None:
        store.put(layout.published_mark(plan.run, "resnet50"), b"{}")
        store.put(plan.done_key("train", HONEST), b"{")
        assert not result_is_intact(store, plan, HONEST)


JOB = parse_job(HONEST)


def with_recipe(plan: Plan, **changes: float) -> Plan:
    recipe = plan.training["resnet50"].model_copy(update=changes)
    return plan.model_copy(update={"training": {"resnet50": recipe}})


class TestIdentity:
    @pytest.mark.parametrize(
        "identity",
        [
            lambda plan: job_identity(JOB, plan.model_copy(update={"seed": 8}), "data"),
            lambda plan: job_identity(JOB, plan.model_copy(update={"folds": 3}), "data"),
            lambda plan: job_identity(JOB, plan.model_copy(update={"weights": {"resnet50": "torchvision"}}), "data"),
            lambda plan: job_identity(JOB, with_recipe(plan, epochs=2), "data"),
            lambda plan: job_identity(JOB, with_recipe(plan, learning_rate=2e-3), "data"),
            lambda plan: job_identity(JOB, plan, "other data"),
            lambda plan: job_identity(parse_job("resnet50/patient/fold-0"), plan, "data"),
            lambda plan: job_identity(parse_job("resnet50/paper/fold-1"), plan, "data"),
        ],
        ids=["seed", "folds", "weights", "epochs", "learning rate", "data", "fold", "protocol"],
    )
    def test_whatever_decides_the_weights_makes_another_identity(self, identity: Callable[[Plan], str]) -> None:
        plan = small_plan()
        assert identity(plan) != job_identity(JOB, plan, "data")

    def test_what_does_not_decide_the_weights_keeps_the_identity(self) -> None:
        plan = small_plan()
        recipes = {**plan.training, "alexnet": plan.training["resnet50"]}
        other = plan.model_copy(update={"run": "another", "promote": (), "training": recipes})
        assert job_identity(JOB, other, "data") == job_identity(TrainingJob(**dict(JOB)), plan, "data")


class TestReadResults:
    def test_results_are_read_in_the_order_of_the_plan(self, store: DirectoryStore, plan: Plan) -> None:
        put(store, plan, holding_out(result("resnet50/patient/fold-0"), "mdb1"))
        assert [found.job.name for found in read_results(store, plan)] == list(plan.names("train"))

    def test_results_of_jobs_that_divided_the_patients_otherwise_are_not_put_together(
        self, store: DirectoryStore, plan: Plan
    ) -> None:
        put(store, plan, result("resnet50/patient/fold-0"))  # the films of the other fold
        with pytest.raises(PlanError, match=r"used different patient splits; start a new run"):
            read_results(store, plan)
        put(store, plan, holding_out(result("resnet50/patient/fold-0"), "mdb1"))
        read_results(store, plan)
        twice = plan.model_copy(update={"repeats": 2})
        for fold, films in ((2, "mdb0"), (3, "mdb1")):
            put(store, twice, holding_out(result(f"resnet50/patient/fold-{fold}"), films))
        assert len(read_results(store, twice)) == 5

    def test_results_of_different_films_are_not_put_together(self, store: DirectoryStore, plan: Plan) -> None:
        put(store, plan, result("resnet50/patient/fold-0", data_sha256="of other films"))
        with pytest.raises(PlanError, match=r"films of this run changed .*; start a new run"):
            read_results(store, plan)

    def test_without_one_of_the_results_none_are_read(self, store: DirectoryStore, plan: Plan) -> None:
        with pytest.raises(ObjectNotFound, match="resnet50/patient/fold-0"):
            read_results(store, plan)
