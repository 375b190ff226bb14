"""Frozen stages work once: what learns behind them sees the same as if films went all the way."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from services.train.data.examples import Examples
from services.train.data.frozen_features import frozen_feature_maps, maps_in_cache
from services.train.data.inputs import RunImages
from services.train.fitting.fit import FitContext, fit
from services.train.fitting.predict import predict
from services.train.fitting.unfreezing import NetworkTail
from shared.errors import JobInterrupted
from shared.modelling.networks import build
from shared.modelling.recipes import TrainingRecipe

CPU = torch.device("cpu")
LABELS = np.arange(24, dtype=np.int64) % 3
FROZEN = 3  # of the modified CNN: the stem and two stages


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def images(count: int = 24) -> RunImages:
    inputs = np.random.default_rng(0).random((count, 1, 64, 64), np.float32)
    return RunImages(variants=(), inputs=inputs, cache_key="films", sha256="", set_aside={})


def never() -> bool:
    return False


class TestFrozenFeatureMaps:
    def test_the_rest_of_the_network_gives_on_the_maps_what_all_of_it_gives_on_the_films(self) -> None:
        torch.manual_seed(0)
        network, films = build("modified_cnn"), images()
        maps = frozen_feature_maps(network, FROZEN, films, CPU, never)
        assert maps.dtype == np.float16
        assert maps.shape == (24, 96, 8, 8)
        learned = predict(NetworkTail(network, FROZEN), Examples(maps, LABELS), 8, CPU)
        assert np.allclose(learned, predict(network, Examples(films.inputs, LABELS), 8, CPU), atol=1e-3)

    def test_what_is_learned_behind_them_is_the_networks_own_and_they_stay_as_they_were(self) -> None:
        torch.manual_seed(0)
        network, films = build("modified_cnn"), images()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        examples = Examples(frozen_feature_maps(network, FROZEN, films, CPU, never), np.arange(24, dtype=np.int64) % 3)
        recipe = TrainingRecipe(input_size=64, epochs=1, batch_size=8, frozen=FROZEN)
        fit(
            NetworkTail(network, FROZEN), recipe, examples, examples,
            FitContext(pretrained=True, seed=0, device=CPU, on_epoch=lambda _: None),
        )  # fmt: skip
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        assert {name.removeprefix("trunk.").partition(".")[0] for name in changed} == {"3", "4", "head"}

    def test_they_are_asked_again_only_where_their_weights_are_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.manual_seed(0)
        network, films = build("modified_cnn"), images()
        first = frozen_feature_maps(network, FROZEN, films, CPU, never)
        monkeypatch.setattr(network.trunk[0], "forward", lambda maps: maps[:, :1].repeat(1, 32, 1, 1)[..., ::2, ::2])
        assert np.array_equal(frozen_feature_maps(network, FROZEN, films, CPU, never), first)
        with torch.no_grad():
            network.trunk[1].shortcut[0].weight.add_(1.0)
        assert not np.array_equal(frozen_feature_maps(network, FROZEN, films, CPU, never), first)

    def test_other_strides_give_other_maps(self) -> None:
        torch.manual_seed(0)
        network, films = build("resnet50", "layer3"), images(2)
        first = frozen_feature_maps(network, 6, films, CPU, never)
        torch.manual_seed(0)
        assert not np.array_equal(frozen_feature_maps(build("resnet50", "layer3", "1x1"), 6, films, CPU, never), first)

    def test_they_can_be_stopped_and_leave_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(JobInterrupted):
            frozen_feature_maps(build("modified_cnn"), FROZEN, images(), CPU, lambda: True)
        assert not list(tmp_path.glob("*/*"))


class TestMapsInCache:
    def test_they_are_found_once_they_were_computed_and_never_computed(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        network, films = build("modified_cnn"), images()
        assert maps_in_cache(network, FROZEN, films, CPU) is None
        assert not list(tmp_path.glob("*/*"))
        made = frozen_feature_maps(network, FROZEN, films, CPU, never)
        found = maps_in_cache(network, FROZEN, films, CPU)
        assert found is not None
        assert np.array_equal(found, made)
        assert maps_in_cache(network, FROZEN - 1, films, CPU) is None
