"""The command line: what a run is made of, help for every command, errors as one line with what to do next."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import save
from typer.testing import CliRunner

from shared.cli import runs
from shared.cli.main import app
from shared.datasets.synthetic import write_dataset
from shared.errors import InputError, ModelCorrupt, PlanError, PromotionRefused, WeightsUnavailable
from shared.modelling.profiles import profile
from shared.runs import pipeline
from shared.runs.plan import Plan, read_plan
from shared.store import models
from shared.store.api_keys import read_keys
from shared.store.directory import DirectoryStore
from tests.support.builders import model_card

TRUNK = save({"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)})
ROOT = Path(__file__).resolve().parents[4]
COMMANDS = (
    "ingest",
    "run",
    "train",
    "status",
    "resume",
    "models",
    "keys",
    "batch",
    "predict",
    "serve",
    "worker",
    "demo",
    "synthesize",
    "augment",
)


@pytest.fixture
def store(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    """The store that the commands of a test are set to."""
    monkeypatch.setenv("MAMMO_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MAMMO_REDIS_URL", redis_url)
    return DirectoryStore(tmp_path / "store")


def mammo(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("arguments", [("models", "list"), ("keys", "list"), ("status",)])
def test_commands_on_the_store_alone_need_no_broker(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.delenv("MAMMO_REDIS_URL")
    assert mammo(*arguments).lower().startswith(("no model", "there is no", "there are no"))


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


def test_a_run_starts_from_imagenet_unless_it_is_told_otherwise(
    store: DirectoryStore, synthetic_films: Path, imagenet: dict[str, str]
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


def test_a_run_augments_by_a_recipe_from_a_file(store: DirectoryStore, synthetic_films: Path, tmp_path: Path) -> None:
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


def test_weights_from_a_file_go_into_the_store_and_the_rest_from_scratch_by_choice(
    store: DirectoryStore, synthetic_films: Path, tmp_path: Path
) -> None:
    mammo("ingest", str(synthetic_films), "--dataset", "films")
    file = tmp_path / "trunk.safetensors"
    file.write_bytes(TRUNK)
    mammo("run", "--dataset", "films", "--profile", "test", "--weights", f"resnet50={file}", "--from-scratch")
    weights = only_plan(store).weights
    assert weights["alexnet"] == "scratch"
    assert weights["resnet50"].endswith("/trunk.safetensors")
    assert store.get(weights["resnet50"]) == TRUNK


def test_a_key_of_the_store_is_taken_as_weights_too(store: DirectoryStore, synthetic_films: Path) -> None:
    mammo("ingest", str(synthetic_films), "--dataset", "films")
    store.put("weights/abc/r.safetensors", TRUNK)
    mammo("train", "--dataset", "films", "--profile", "test", "--weights", "resnet50=weights/abc/r.safetensors")
    plan = only_plan(store)
    assert plan.weights == {"resnet50": "weights/abc/r.safetensors"}
    assert (plan.protocols, plan.promote) == (("patient",), ())


@pytest.mark.usefixtures("_offline")
def test_no_run_begins_whose_pretrained_weights_can_not_be_had(store: DirectoryStore, tmp_path: Path) -> None:
    write_dataset(tmp_path / "films", 20, seed=7)
    mammo("ingest", str(tmp_path / "films"), "--dataset", "films")
    for choice in ((), ("--weights", f"resnet50={Path(__file__)}")):
        with pytest.raises(WeightsUnavailable, match=r"no run was started.*--weights resnet50=FILE.*--from-scratch"):
            mammo("train", "--dataset", "films", "--profile", "full", *choice)
        assert pipeline.list_runs(store) == []
    mammo("train", "--dataset", "films", "--profile", "full", "--weights", "resnet50=torchvision")
    assert only_plan(store).weights == {"resnet50": "torchvision"}


def test_where_torch_is_not_installed_weights_are_left_to_training(
    store: DirectoryStore, synthetic_films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "can_check_weights", lambda: False)
    mammo("ingest", str(synthetic_films), "--dataset", "films")
    assert "torch is not installed here" in mammo("train", "--dataset", "films", "--profile", "test")
    assert only_plan(store).weights == {"resnet50": "torchvision"}


@pytest.mark.parametrize("command", ["run", "train"])
def test_a_name_that_no_data_set_can_have_is_told_as_such(store: DirectoryStore, command: str) -> None:
    with pytest.raises(InputError, match=r"data set '\.\./x' is not a name: use letters, digits"):
        mammo(command, "--dataset", "../x", "--profile", "test")


def test_retraining_in_one_command_replaces_production_only_if_it_is_better(
    store: DirectoryStore, synthetic_films: Path
) -> None:
    mammo("ingest", str(synthetic_films), "--dataset", "films")
    mammo("train", "--dataset", "films", "--profile", "test", "--from-scratch", "--promote-if-better")
    plan = only_plan(store)
    assert (plan.promote, plan.only_if_better) == (("resnet50",), True)


def test_weights_of_a_network_that_is_not_trained_are_refused(store: DirectoryStore, synthetic_films: Path) -> None:
    mammo("ingest", str(synthetic_films), "--dataset", "films")
    with pytest.raises(PlanError, match="names alexnet, which this run does not train"):
        mammo("train", "--dataset", "films", "--profile", "test", "--weights", "alexnet=torchvision")


@pytest.mark.parametrize("choice", ["resnet50", "vgg=file", "modified_cnn=file", "resnet50=/no/such/file"])
def test_a_choice_of_weights_that_can_not_be_is_refused_and_no_run_begins(
    store: DirectoryStore, synthetic_films: Path, choice: str
) -> None:
    mammo("ingest", str(synthetic_films), "--dataset", "films")
    with pytest.raises(PlanError):
        mammo("run", "--dataset", "films", "--profile", "test", "--weights", choice)
    assert pipeline.list_runs(store) == []


def test_promotion_rollback_and_history_by_hand(store: DirectoryStore) -> None:
    for version in ("v1", "v2"):
        models.publish(store, model_card("resnet50", version), {"model.onnx": version.encode()})
    assert "v1 is in production" in mammo("models", "promote", "resnet50", "v1", "--reason", "first")
    assert "before: v1" in mammo("models", "promote", "resnet50", "v2")
    assert "v1 is in production" in mammo("models", "rollback", "resnet50", "--reason", "v2 was slow")
    listed = [line for line in mammo("models", "list").splitlines() if "production" in line]
    assert len(listed) == 1
    assert "v1" in listed[0]
    assert "v2 was slow" in mammo("models", "history", "resnet50")
    assert "v2 is the candidate" in mammo("models", "promote", "resnet50", "v2", "--alias", "candidate")
    assert "candidate" in mammo("models", "list")
    with pytest.raises(InputError, match="with --reason"):
        mammo("models", "promote", "resnet50", "v2", "--force")
    with pytest.raises(InputError, match="choose one of production, candidate"):
        mammo("models", "rollback", "resnet50", "--alias", "staging")
    card = json.loads(mammo("models", "card", "resnet50", "v1"))
    jsonschema.validate(card, json.loads(mammo("models", "schema")))


def test_a_version_in_production_that_was_deleted_is_shown_as_such(store: DirectoryStore) -> None:
    for version in ("v1", "v2"):
        models.publish(store, model_card("resnet50", version), {"model.onnx": version.encode()})
    mammo("models", "promote", "resnet50", "v1")
    for key in list(store.list("models/resnet50/v1/")):
        store.delete(key)
    (shown,) = [line for line in mammo("models", "list").splitlines() if "production" in line]
    assert shown.split() == ["v1", "resnet50", "DELETED", "production"]
    with pytest.raises(PromotionRefused, match=r"resnet50 v1, which is in production, is deleted.*--force"):
        mammo("models", "promote", "resnet50", "v2")
    assert "v2 is in production" in mammo("models", "promote", "resnet50", "v2", "--force", "--reason", "v1 is gone")
    for key in list(store.list("models/resnet50/v2/")):
        store.delete(key)
    (shown,) = [line for line in mammo("models", "list").splitlines() if "production" in line]
    assert shown.split() == ["v2", "resnet50", "DELETED", "production"]


def test_a_version_whose_card_is_damaged_is_shown_as_such(store: DirectoryStore) -> None:
    models.publish(store, model_card("resnet50", "v1"), {"model.onnx": b"graph"})
    store.put("models/resnet50/v1/card.json", b"{}")
    assert "DAMAGED" in mammo("models", "list")
    with pytest.raises(ModelCorrupt, match=r"v1/card\.json is damaged or written by another release"):
        mammo("models", "card", "resnet50", "v1")


@pytest.mark.parametrize("after_s", [0.3, 0.8, 1.5])
@pytest.mark.parametrize("arguments", [("status",), ("worker", "augment"), ("serve",)], ids=" ".join)
@pytest.mark.external
def test_an_interrupt_while_a_command_starts_leaves_no_trace(
    tmp_path: Path, arguments: tuple[str, ...], after_s: float
) -> None:
    environment = {**os.environ, "MAMMO_STORE": str(tmp_path), "MAMMO_REDIS_URL": "redis://:x@127.0.0.1:9/0"}
    command = [ROOT / "mammo", *arguments]
    with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        time.sleep(after_s)
        run.send_signal(signal.SIGINT)
        said = ended(run)
    assert "Traceback" not in said


def ended(run: "subprocess.Popen[str]") -> str:
    """What a command has said once it ended. It is interrupted again as by a person who saw nothing happen."""
    for _ in range(20):
        try:
            return run.communicate(timeout=2)[0]
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGINT)
    run.kill()
    pytest.fail("the command went on")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    output = mammo(command, "--help")
    assert len(output.split()) > 15
    assert command in mammo("--help")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("ingest", "/no/such/folder"), "there is no such folder or archive; check the path"),
        (("run", "--dataset", "nope"), "mammo ingest FOLDER --dataset nope"),
        (("status", "nope"), "`mammo status` lists the runs"),
        (("predict", __file__, "--url", "http://127.0.0.1:9"), "mammo serve"),
        (("worker", "nope"), "augment, segment, train"),
    ],
)
@pytest.mark.external
def test_an_error_is_one_line_that_says_what_to_do(tmp_path: Path, arguments: tuple[str, ...], advice: str) -> None:
    environment = {**os.environ, "MAMMO_STORE": str(tmp_path), "MAMMO_REDIS_URL": "redis://:x@127.0.0.1:9/0"}
    result = subprocess.run([ROOT / "mammo", *arguments], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("mammo: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert advice in result.stderr


@pytest.mark.external
def test_settings_that_are_missing_are_named(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAMMO_")}
    result = subprocess.run(
        [ROOT / "mammo", "status"], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert result.returncode == 1
    assert "MAMMO_STORE" in result.stderr
    assert ".env.example" in result.stderr


def test_keys_are_made_listed_followed_and_revoked(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There are no API keys" in mammo("keys", "list")
    made = mammo("keys", "create", "pacs", "--scope", "predict", "--a-minute", "60").split()
    key = next(word for word in made if word.startswith("mammo_"))
    listed = mammo("keys", "list")
    assert key.split("_")[1] in listed
    assert key not in listed
    assert "replaces" in mammo("keys", "rotate", key.split("_")[1])
    assert "is revoked" in mammo("keys", "revoke", key.split("_")[1])
    monkeypatch.setenv("METRICS_KEY", key)
    brought = mammo("keys", "create", "prometheus", "--scope", "metrics", "--from-env", "METRICS_KEY")
    assert key not in brought
    assert [each.name for each in read_keys(store).keys] == ["pacs", "prometheus"]


def test_a_scope_that_is_none_is_told(store: DirectoryStore) -> None:
    with pytest.raises(InputError, match="choose one of predict, metrics, admin"):
        mammo("keys", "create", "pacs", "--scope", "all")


@pytest.mark.parametrize(("form", "films", "table"), [("exams", 32, "films.csv"), ("mias", 16, "Info.txt")])
def test_films_of_either_form_are_generated_and_ingested(
    store: DirectoryStore, tmp_path: Path, form: str, films: int, table: str
) -> None:
    folder = tmp_path / "generated"
    assert f"{films} SYNTHETIC films" in mammo("synthesize", str(folder), "--patients", "8", "--form", form)
    assert (folder / table).is_file()
    assert f"data set {form} (SYNTHETIC): {films} films" in mammo("ingest", str(folder), "--dataset", form)
