"""The whole pipeline with a real broker, real worker processes and gunicorn, over a directory and over S3."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from shared.cli.console import read_evaluation
from shared.cli.progress import follow
from shared.client import InferenceClient
from shared.datasets.mias import Source
from shared.datasets.synthetic import write_dataset
from shared.domain.films import Shard
from shared.evaluations.flow import read_external_evaluation
from shared.evaluations.plan import make_evaluation
from shared.local.stack import Stack, running_stack, wait_for
from shared.modelling.calibration import OPERATING_POINTS
from shared.modelling.network_table import NETWORKS
from shared.modelling.profiles import profile
from shared.modelling.recipes import PROTOCOLS
from shared.runs import pipeline
from shared.runs.plan import Plan, RunOptions, make_plan
from shared.runs.status import read_status
from shared.store import layout, models
from shared.store.ingest import ingest, stored_manifest
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from tests.support.builders import film_place, queue_of
from tests.support.commands import mammo

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}


@pytest.fixture(scope="module", params=["directory", "s3"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services; the workers of the second one reach their store over HTTP."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        store, extra = str(folder / "store"), {}
        if request.param == "s3":
            endpoint = request.getfixturevalue("s3_endpoint")
            for name, value in CREDENTIALS.items():
                patch.setenv(name, value)
            boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="pipeline")
            store, extra = "s3://pipeline/some/prefix", {"MAMMO_S3_ENDPOINT_URL": endpoint}
        with running_stack(folder, store, extra=extra) as running:
            yield running


@pytest.fixture(scope="module")
def finished(stack: Stack, synthetic_films: Path) -> tuple[ObjectStore, Plan]:
    """A finished run of the test profile: the smallest network on S3, all three over the directory."""
    store = open_store(stack.settings.store)
    dataset = ingest(store, Source(synthetic_films), "films").dataset
    everything = stack.settings.store.s3_endpoint_url is None
    plan = make_plan(
        dataset,
        profile("test"),
        RunOptions(
            networks=NETWORKS if everything else ("resnet50",),
            protocols=PROTOCOLS,
            weights={},
            promote=("resnet50",),
            seed=7,
        ),
    )
    pipeline.start(store, queue_of(stack), plan)
    follow(store, plan, stack.processes.check)
    return store, plan


class TestPipeline:
    def test_every_stage_of_the_run_is_complete(self, finished: tuple[ObjectStore, Plan]) -> None:
        store, plan = finished
        status = read_status(store, plan.run)
        assert status.state == "finished"
        assert [(stage.stage, stage.done) for stage in status.stages] == [
            ("augment", 2),
            ("segment", 2),
            ("train", 3 * len(plan.networks)),
            ("evaluate", 1),
            ("publish", len(plan.networks)),
            ("promote", 1),
        ]

    def test_every_stored_image_is_the_one_its_manifest_names(self, finished: tuple[ObjectStore, Plan]) -> None:
        store, plan = finished
        prefixes = (
            layout.augmented_manifests("films", plan.augmentation.id),
            layout.segmented_manifests("films", plan.augmentation.segmented_id),
        )
        for prefix in prefixes:
            shards = [Shard.model_validate_json(store.get(key)) for key in store.list(prefix)]
            variants = [variant for shard in shards for variant in shard.variants]
            assert len({variant.id for variant in variants}) == len(variants) == 16 * plan.augmentation.variants
            for variant in variants:
                assert hashlib.sha256(store.get(variant.key)).hexdigest() == variant.sha256

    def test_the_evaluation_judges_every_film_once_by_the_honest_protocol(
        self, finished: tuple[ObjectStore, Plan]
    ) -> None:
        store, plan = finished
        evaluation = read_evaluation(store, plan.run)
        assert {(r.network, r.protocol) for r in evaluation.results} == {
            (n, p) for n in plan.networks for p in PROTOCOLS
        }
        for result in evaluation.results:
            if result.protocol == "patient":
                assert (result.metrics.n_films, result.metrics.n_patients) == (16, 8)
                assert tuple(point.name for point in result.operating_points) == OPERATING_POINTS
            assert result.weights.source == "from scratch"
        page = store.get(layout.report_file(plan.run, "index.html")).decode()
        assert "SYNTHETIC" in page
        assert "leaky" in page
        names = [baseline.name for baseline in evaluation.baselines]
        assert names == (["majority class", "ensemble"] if len(plan.networks) > 1 else ["majority class"])
        assert "Most confident errors" in page
        assert store.exists(layout.report_file(plan.run, "mistake-01.png"))

    def test_what_was_published_is_whole_and_resnet50_is_in_production(
        self, finished: tuple[ObjectStore, Plan]
    ) -> None:
        store, plan = finished
        for network in plan.networks:
            card = models.read_card(store, network, plan.run)
            assert card.protocol == "patient"
            assert card.synthetic
            assert tuple(point.name for point in card.operating_points) == OPERATING_POINTS
            assert ("head.npy" in card.files) == card.explainable
            for name in (
                "model.safetensors",
                "model.onnx",
                "golden.json",
                "report.html",
                "metrics.json",
                "predictions.json",
            ):
                models.read_file(store, card, name)
            assert card.golden_difference is not None
            assert card.trained_on
            trained = card.trained_on.films
            assert 0 < trained < 16
            assert (card.trained_on.views, card.trained_on.bits) == ({"MLO": trained}, {8: trained})
            assert card.exam_rule
            assert (card.exam_rule.breast.metrics.n_films, card.exam_rule.exam.metrics.n_films) == (16, 8)
            assert models.read_alias(store, network, models.CANDIDATE).version == plan.run
        assert models.read_alias(store, "resnet50").version == plan.run
        assert not [key for key in store.list(layout.training(plan.run)) if key.endswith("model.safetensors")]

    def test_the_promoted_model_answers_over_http(self, finished: tuple[ObjectStore, Plan], stack: Stack) -> None:
        store, plan = finished
        client = InferenceClient(stack.url, stack.key)
        wait_for("loading the model", client.ready, stack.processes)
        answer = client.predict(store.get(film_place(store, "mdb001")))
        assert answer.model.network == "resnet50"
        assert answer.model.version == plan.run

    def test_the_workers_test_the_version_on_another_data_set_without_films_that_it_has_seen(
        self, finished: tuple[ObjectStore, Plan], stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other set has eight new films, one that the version was trained on, and another one twice."""
        store, plan = finished
        card = models.read_card(store, "resnet50", plan.run)
        seen = next(
            film for film in stored_manifest(store, "films").films if film.patient not in card.held_out_patients
        )
        write_dataset(tmp_path / "other", 5, seed=11)
        (tmp_path / "other" / "mdb009.pgm").write_bytes(store.get(film_place(store, seen.id)))
        shutil.copy(tmp_path / "other" / "mdb001.pgm", tmp_path / "other" / "mdb002.pgm")
        ingest(store, Source(tmp_path / "other"), "other")
        monkeypatch.setenv("MAMMO_STORE", stack.settings.store.url)
        monkeypatch.setenv("MAMMO_S3_ENDPOINT_URL", stack.settings.store.s3_endpoint_url or "")
        monkeypatch.setenv("MAMMO_REDIS_URL", stack.settings.broker.redis_url.get_secret_value())
        told = mammo("evaluate", plan.run, "--network", "resnet50", "--dataset", "other", "--wait")
        evaluation = make_evaluation(store, "resnet50", plan.run, "other")
        found = read_external_evaluation(store, evaluation)
        assert found
        assert found.left_out.patients_by_film == ("p005",)
        labels = {film.id: film.label for film in stored_manifest(store, "other").films}
        twice = ("mdb002",) if labels["mdb001"] == labels["mdb002"] else ("mdb001", "mdb002")
        assert {*found.left_out.repeated_films, *found.left_out.contradictory_films} == set(twice)
        assert found.metrics.n_films == 10 - 2 - len(twice)
        assert f"on {found.metrics.n_films} films of" in told
        assert {level.level for level in found.levels} == {"breast", "exam"}

    def test_a_finished_run_has_nothing_to_resume(self, finished: tuple[ObjectStore, Plan], stack: Stack) -> None:
        store, plan = finished
        before = list(store.list(""))
        assert pipeline.resume(store, queue_of(stack), plan.run) == 0
        assert list(store.list("")) == before

    def test_a_unit_that_was_lost_is_done_again_and_the_same(
        self, finished: tuple[ObjectStore, Plan], stack: Stack
    ) -> None:
        store, plan = finished
        unit = plan.find("segment", "000001")
        before = store.get(unit.done_key)
        store.delete(unit.done_key)
        assert read_status(store, plan.run).state == "running"
        assert pipeline.resume(store, queue_of(stack), plan.run) == 1
        follow(store, plan, stack.processes.check)
        assert store.get(unit.done_key) == before
