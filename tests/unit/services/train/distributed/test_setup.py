"""How many processes train a network, as the settings and the recipe say."""

from typing import Any

import pytest
import torch

from services.train.distributed import setup
from services.train.distributed.launcher import MultiprocessTrainer
from services.train.distributed.setup import fit_function
from services.train.fitting.fit import fit
from shared.modelling.networks import build
from shared.modelling.recipes import TrainingRecipe
from shared.settings import ComputeSettings, TrainingSettings

RECIPE = TrainingRecipe(input_size=64, epochs=1, batch_size=8)
CPU = torch.device("cpu")


def chosen(recipe: TrainingRecipe = RECIPE, device: torch.device = CPU, cores: int = 2, **training: Any) -> object:
    """The trainer of a recipe; `training` are fields of TrainingSettings."""
    compute = ComputeSettings(cpu_threads=cores)
    return fit_function(compute, TrainingSettings(**training), "modified_cnn", recipe, build("modified_cnn"), device)


def several_of(found: object) -> MultiprocessTrainer:
    owner = getattr(found, "__self__", None)
    assert isinstance(owner, MultiprocessTrainer)
    return owner


class TestFitFunction:
    def test_one_process_trains_on_the_cpu_unless_more_are_asked_for(self) -> None:
        assert chosen() is fit

    def test_as_many_processes_train_as_the_settings_say_and_share_the_cores(self) -> None:
        found = several_of(chosen(processes=2, cores=6, deterministic=True))
        assert (found.processes, found.network, found.threads) == (2, "modified_cnn", 3)
        assert found.deterministic
        assert not found.compiled

    def test_each_process_gets_two_images_of_a_batch_at_least(self) -> None:
        assert several_of(chosen(processes=20)).processes == 4
        assert chosen(RECIPE.model_copy(update={"batch_size": 3}), processes=2) is fit

    def test_every_gpu_gets_a_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
        assert several_of(chosen(device=torch.device("cuda"))).processes == 3
        assert chosen(device=torch.device("cuda"), processes=1) is fit

    def test_a_network_is_compiled_when_the_settings_say_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compiled: list[object] = []
        monkeypatch.setattr(setup, "compile_on_gpu", lambda *given: compiled.append(given))
        chosen()
        assert not compiled
        chosen(compile=True)
        assert len(compiled) == 1
        assert several_of(chosen(processes=2, compile=True)).compiled
        assert len(compiled) == 1, "each process compiles its own"
