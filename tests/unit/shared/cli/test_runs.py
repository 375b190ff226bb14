"""Commands that begin runs: what a run is made of, and what is refused before it begins."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from shared.cli import runs
from shared.datasets.synthetic import write_dataset
from shared.errors import InputError, PlanError, WeightsUnavailable
from shared.modelling.profiles import profile
from shared.runs import pipeline
from shared.runs.plan import Plan, read_plan
from shared.store.directory import DirectoryStore
from tests.support.commands import mammo

TRUNK = save({"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)})


def only_plan(store: DirectoryStore) -> Plan:
    (run,) = pipeline.list_runs(store)
    return read_plan(store, run)


@pytest.fixture
def imagenet(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """As where torchvision's weights can be had; the dictionary takes what was looked at."""
    looked_at: dict[str, str] = {}
    monkeypatch.setattr(runs, "check_weights", lambda _store, weights: looked_at.update(weights))
    return looked_at


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where they can't: nothing is in torch's cache, and the proxy is nobody."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


class TestRuns:
    def test_a_run_starts_from_imagenet_unless_it_is_told_otherwise(
        self, store: DirectoryStore, synthetic_films: Path, imagenet: dict[str, str]
    ) -> None:
        assert "SYNTHETIC" in mammo("ingest", str(synthetic_films), "--dataset", "films")
        mammo("run", "--dataset", "films", "--profile", "test")
        plan = only_plan(store)
        assert plan.weights == {"modified_cnn": "scratch", "alexnet": "torchvision", "resnet50": "torchvision"}
        assert imagenet == {"alexnet": "torchvision", "resnet50": "torchvision"}
        assert plan.protocols == ("patient", "paper")
        assert plan.promote == ("resnet50",)
        assert plan.synthetic
        assert f"run {plan.run} over films (SYNTHETIC): running" in mammo("status")
        assert f"run {plan.run} over films (SYNTHETIC): running" in mammo("status", plan.run)

    def test_a_run_augments_by_a_recipe_from_a_file(
        self, store: DirectoryStore, synthetic_films: Path, tmp_path: Path
    ) -> None:
        mammo("ingest", str(synthetic_films), "--dataset", "films")
        recipe = tmp_path / "mine.toml"
        recipe.write_text('name = "mine"\nvariants = 2\nelastic = 0.03\n')
        mammo("train", "--dataset", "films", "--profile", "test", "--from-scratch", "--recipe", str(recipe))
        plan = only_plan(store)
        assert (plan.augmentation.name, plan.augmentation.elastic) == ("mine", 0.03)
        assert plan.training["resnet50"] == profile("test").training["resnet50"]
        recipe.write_text('name = "mine"\nvariants = 0\n')
        with pytest.raises(InputError, match=r"variants: .*mammo augment --schema"):
            mammo("run", "--dataset", "films", "--profile", "test", "--recipe", str(recipe))

    def test_of_a_large_data_set_it_says_that_films_are_changed_while_they_are_loaded(
        self, store: DirectoryStore, synthetic_films: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mammo("ingest", str(synthetic_films), "--dataset", "films")
        words, command = "no augmented copies are stored", ("train", "--dataset", "films", "--profile", "test")
        assert words not in mammo(*command, "--from-scratch")
        monkeypatch.setattr("shared.runs.plan.LARGE", 16)
        assert words in " ".join(mammo(*command, "--from-scratch").split())
        assert {read_plan(store, run).large for run in pipeline.list_runs(store)} == {False, True}

    def test_weights_from_a_file_go_into_the_store_and_the_rest_from_scratch_by_choice(
        self, store: DirectoryStore, synthetic_films: Path, tmp_path: Path
    ) -> None:
        mammo("ingest", str(synthetic_films), "--dataset", "films")
        file = tmp_path / "trunk.safetensors"
        file.write_bytes(TRUNK)
        mammo("run", "--dataset", "films", "--profile", "test", "--weights", f"resnet50={file}", "--from-scratch")
        weights = only_plan(store).weights
        assert weights["alexnet"] == "scratch"
        assert weights["resnet50"].endswith("/trunk.safetensors")
        assert store.get(weights["resnet50"]) == TRUNK

    def test_a_key_of_the_store_is_taken_as_weights_too(self, store: DirectoryStore, synthetic_films: Path) -> None:
        mammo("ingest", str(synthetic_films), "--dataset", "films")
        store.put("weights/abc/r.safetensors", TRUNK)
        mammo("train", "--dataset", "films", "--profile", "test", "--weights", "resnet50=weights/abc/r.safetensors")
        plan = only_plan(store)
        assert plan.weights == {"resnet50": "weights/abc/r.safetensors"}
        assert (plan.protocols, plan.promote) == (("patient",), ())

    @pytest.mark.usefixtures("_offline")
    def test_no_run_begins_whose_pretrained_weights_can_not_be_had(self, store: DirectoryStore, tmp_path: Path) -> None:
        write_dataset(tmp_path / "films", 20, seed=7)
        mammo("ingest", str(tmp_path / "films"), "--dataset", "films")
        for choice in ((), ("--weights", f"resnet50={Path(__file__)}")):
            with pytest.raises(
                WeightsUnavailable, match=r"no run was started.*--weights resnet50=FILE.*--from-scratch"
            ):
                mammo("train", "--dataset", "films", "--profile", "full", *choice)
            assert pipeline.list_runs(store) == []
        mammo("train", "--dataset", "films", "--profile", "full", "--weights", "resnet50=torchvision")
        assert only_plan(store).weights == {"resnet50": "torchvision"}

    def test_where_torch_is_not_installed_weights_are_left_to_training(
        self, store: DirectoryStore, synthetic_films: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs, "can_check_weights", lambda: False)
        mammo("ingest", str(synthetic_films), "--dataset", "films")
        assert "torch is not installed here" in mammo("train", "--dataset", "films", "--profile", "test")
        assert only_plan(store).weights == {"resnet50": "torchvision"}

    @pytest.mark.parametrize("command", ["run", "train"])
    def test_a_name_that_no_data_set_can_have_is_told_as_such(self, store: DirectoryStore, command: str) -> None:
        with pytest.raises(InputError, match=r"data set '\.\./x' is not a name: use letters, digits"):
            mammo(command, "--dataset", "../x", "--profile", "test")

    def test_retraining_in_one_command_replaces_production_only_if_it_is_better(
        self, store: DirectoryStore, synthetic_films: Path
    ) -> None:
        mammo("ingest", str(synthetic_films), "--dataset", "films")
        mammo("train", "--dataset", "films", "--profile", "test", "--from-scratch", "--promote-if-better")
        plan = only_plan(store)
        assert (plan.promote, plan.only_if_better) == (("resnet50",), True)

    def test_weights_of_a_network_that_is_not_trained_are_refused(
        self, store: DirectoryStore, synthetic_films: Path
    ) -> None:
        mammo("ingest", str(synthetic_films), "--dataset", "films")
        with pytest.raises(PlanError, match="names alexnet, which this run does not train"):
            mammo("train", "--dataset", "films", "--profile", "test", "--weights", "alexnet=torchvision")

    @pytest.mark.parametrize("choice", ["resnet50", "vgg=file", "modified_cnn=file", "resnet50=/no/such/file"])
    def test_a_choice_of_weights_that_can_not_be_is_refused_and_no_run_begins(
        self, store: DirectoryStore, synthetic_films: Path, choice: str
    ) -> None:
        mammo("ingest", str(synthetic_films), "--dataset", "films")
        with pytest.raises(PlanError):
            mammo("run", "--dataset", "films", "--profile", "test", "--weights", choice)
        assert pipeline.list_runs(store) == []

    @pytest.mark.parametrize(("layout", "films", "table"), [("exams", 32, "films.csv"), ("mias", 16, "Info.txt")])
    def test_films_of_either_form_are_generated_and_ingested(
        self, store: DirectoryStore, tmp_path: Path, layout: str, films: int, table: str
    ) -> None:
        folder = tmp_path / "generated"
        assert f"{films} SYNTHETIC films" in mammo("synthesize", str(folder), "--patients", "8", "--layout", layout)
        assert (folder / table).is_file()
        assert f"data set {layout} (SYNTHETIC): {films} films" in mammo("ingest", str(folder), "--dataset", layout)
