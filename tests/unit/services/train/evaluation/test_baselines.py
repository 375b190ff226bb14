"""What a network has to beat: the same answer always, features that never saw a film, and the networks together."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from services.augment.tasks import AUGMENT
from services.segment.tasks import SEGMENT
from services.train.data.examples import Examples
from services.train.data.frozen_features import frozen_feature_maps
from services.train.data.inputs import load_images
from services.train.evaluation import baselines as module
from services.train.evaluation.baselines import baselines, logistic_regression, pooled_features
from services.train.fitting.initial_weights import initial_network
from shared.datasets.synthetic import write_dataset
from shared.imaging.preprocess import Preprocessing
from shared.modelling.evaluation import WeightsReport
from shared.modelling.networks import build
from shared.modelling.predictions import FoldPredictions
from shared.modelling.profiles import PROFILES
from shared.modelling.recipes import UP_TO_LAYER3
from shared.runs.plan import Plan
from shared.store.directory import DirectoryStore
from tests.support.builders import do, ingested, small_predictions

CPU = torch.device("cpu")


def backwards(predictions: FoldPredictions) -> FoldPredictions:
    return FoldPredictions.model_validate({name: values[::-1] for name, values in predictions})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[DirectoryStore, Plan]:
    """Segmented films, and a ResNet-50 as a file in the store that a run starts from."""
    folder = tmp_path_factory.mktemp("run")
    write_dataset(folder / "films", 12)
    store, plan = ingested(folder / "store", folder / "films")
    for shard in plan.names("augment"):
        do(AUGMENT, store, plan, shard)
        do(SEGMENT, store, plan, shard)
    torch.manual_seed(1)
    state = {name.removeprefix("trunk."): tensor for name, tensor in build("resnet50").trunk.state_dict().items()}
    store.put("weights/abc/r.safetensors", save(state))
    training = {"resnet50": PROFILES["test"].training["resnet50"]}
    changes = {"training": training, "weights": {"resnet50": "weights/abc/r.safetensors"}, "protocols": ("patient",)}
    return store, plan.model_copy(update=changes)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty temporary folder, as that of a machine that has trained nothing."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def features(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What the regressions of a test are fitted to, one after the other."""
    seen: list[np.ndarray] = []

    def noted(*arguments: Any) -> np.ndarray:
        seen.append(pooled_features(*arguments))
        return seen[-1]

    monkeypatch.setattr(module, "pooled_features", noted)
    return seen


def with_frozen(plan: Plan, frozen: int) -> Plan:
    recipe = plan.training["resnet50"].model_copy(update={"frozen": frozen})
    return plan.model_copy(update={"training": {"resnet50": recipe}})


def make_maps(store: DirectoryStore, plan: Plan) -> None:
    """Compute the maps of frozen stages, as a job of this machine does."""
    recipe = plan.training["resnet50"]
    images = load_images(store, plan, Preprocessing(size=recipe.input_size))
    network, _ = initial_network(store, plan, "resnet50", plan.seed)
    frozen_feature_maps(network, recipe.frozen, images, CPU, lambda: False)


class TestLogisticRegression:
    def test_the_regression_is_asked_about_every_held_out_film_once(self, run: tuple[DirectoryStore, Plan]) -> None:
        store, plan = run
        found = logistic_regression(store, plan, CPU)
        assert found is not None
        assert sorted(found.films) == [f"mdb{number:03}" for number in range(1, 25)]
        assert set(found.folds) == set(range(plan.folds))

    @pytest.mark.parametrize("weights", [{}, {"resnet50": "scratch"}, {"resnet50": "weights/damaged.pth"}])
    def test_without_weights_there_is_no_regression(
        self, run: tuple[DirectoryStore, Plan], weights: dict[str, str]
    ) -> None:
        store, plan = run
        store.put("weights/damaged.pth", b"no weights")
        assert logistic_regression(store, plan.model_copy(update={"weights": weights}), CPU) is None

    def test_maps_of_frozen_stages_give_the_features_that_films_give(
        self, run: tuple[DirectoryStore, Plan], features: list[np.ndarray]
    ) -> None:
        """Whatever stages are frozen: the others are computed from their maps."""
        store, plan = run
        for frozen in (0, UP_TO_LAYER3, 8):
            frozen_plan = with_frozen(plan, frozen)
            if frozen:
                make_maps(store, frozen_plan)
            assert logistic_regression(store, frozen_plan, CPU) is not None
        films, *of_maps = features
        for found in of_maps:
            assert np.allclose(found, films, atol=2e-3 * films.max())
            assert not np.array_equal(found, films)

    def test_maps_that_this_machine_does_not_have_are_not_made_for_it(
        self, run: tuple[DirectoryStore, Plan], features: list[np.ndarray], folder: Path
    ) -> None:
        """Those of all augmented copies are many times the work, and may have no room here."""
        store, plan = run
        assert logistic_regression(store, with_frozen(plan, 0), CPU) is not None
        inputs = list(folder.glob("*/*"))
        assert logistic_regression(store, with_frozen(plan, UP_TO_LAYER3), CPU) is not None
        assert list(folder.glob("*/*")) == inputs
        films, without_maps = features
        assert np.allclose(without_maps, films, rtol=1e-4, atol=1e-5 * films.max())


class TestBaselines:
    def test_always_the_commonest_class_ranks_nothing(self) -> None:
        (majority,) = baselines({"resnet50": small_predictions()}, None)
        found = majority.metrics
        assert found.accuracy.value == pytest.approx(5 / 12)
        assert (found.macro_auc.value, found.abnormal_auc.value) == (0.5, 0.5)
        assert found.balanced_accuracy.value == pytest.approx(1 / 3)

    def test_the_ensemble_is_the_mean_of_the_networks_film_by_film(self) -> None:
        one = small_predictions()
        other = one.with_rows(one.rows[:, ::-1])
        *_, ensemble = baselines({"resnet50": one, "alexnet": backwards(other)}, None)
        *_, expected = baselines({"resnet50": one.with_rows((one.rows + other.rows) / 2)}, small_predictions())
        assert ensemble.name == "ensemble"
        assert ensemble.metrics.brier is not None
        rows = (one.rows + other.rows) / 2
        assert ensemble.metrics.brier.value == pytest.approx(((rows - np.eye(3)[one.truth]) ** 2).sum(axis=1).mean())
        assert expected.name == "logistic regression"

    def test_of_no_honest_result_there_are_no_baselines(self) -> None:
        assert baselines({}, None) == ()


class TestPooledFeatures:
    @pytest.mark.parametrize(("missing", "features"), [((), 2048), (("trunk.layer4.0.conv1", "head.linear"), 1024)])
    def test_features_are_those_of_the_deepest_map_that_was_loaded(
        self, missing: tuple[str, ...], features: int
    ) -> None:
        torch.manual_seed(1)
        network = build("resnet50")
        weights = WeightsReport(source="a file", loaded=("trunk.conv1",), missing=missing, unexpected=())
        inputs = np.random.default_rng(1).random((3, 1, 64, 64), np.float32)
        films = Examples(inputs, np.zeros(3, np.int64))
        found = pooled_features(network, weights, films)
        assert found.shape == (3, features)
        assert np.array_equal(
            pooled_features(network, weights, Examples(inputs, np.zeros(2, np.int64), np.array([2, 0]))), found[[2, 0]]
        )
        with torch.inference_mode():
            maps = network.eval()(torch.from_numpy(inputs))[1]
        if not missing:
            assert np.allclose(found, maps.mean((2, 3)), atol=1e-5)
