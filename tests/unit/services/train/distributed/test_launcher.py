"""Several processes on the CPU train as one does, stop together, go on from a checkpoint, and tell when one dies."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from services.train.data.examples import Examples
from services.train.data.process_group import SINGLE_PROCESS
from services.train.distributed.launcher import MultiprocessTrainer, TrainingProcessLost
from services.train.fitting.checkpoint import Checkpoint, from_bytes, to_bytes
from services.train.fitting.fit import FitContext, FitResult
from services.train.fitting.serialise import Tensors
from services.train.fitting.unfreezing import trainable_part
from shared.errors import JobInterrupted
from shared.local.commands import ROOT
from shared.modelling.networks import build
from shared.modelling.recipes import TrainingRecipe
from tests.support.ranks import train_a_share

CPU = torch.device("cpu")
RECIPE = TrainingRecipe(input_size=64, epochs=3, batch_size=8, learning_rate=2e-3)
TORCHRUN = ("torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2", "-m")


def examples(count: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    return Examples(rng.random((count, 1, 64, 64), np.float32), np.arange(count, dtype=np.int64) % 3)


class Run:
    """A short training of our own small network by two processes."""

    def __init__(
        self, start: Checkpoint | None = None, stopping: Callable[["Run"], bool] = lambda _: False,
        recipe: TrainingRecipe = RECIPE,
    ) -> None:  # fmt: skip
        self.epochs: list[float] = []
        self.documents: list[bytes] = []
        torch.manual_seed(5)
        several = MultiprocessTrainer(
            processes=2, network="modified_cnn", threads=1, deterministic=False, compiled=False
        )
        self.fit: Callable[[], FitResult] = lambda: several.fit(
            build("modified_cnn"),
            recipe,
            examples(24, 0),
            examples(12, 1),
            FitContext(
                pretrained=False,
                seed=5,
                device=CPU,
                on_epoch=lambda record: self.epochs.append(record.train_loss),
                start=start,
                on_checkpoint=lambda checkpoint: self.documents.append(to_bytes(checkpoint, "job")),
                stopping=lambda: stopping(self),
            ),
        )


@pytest.fixture(scope="module")
def whole() -> tuple[FitResult, list[float]]:
    run = Run()
    return run.fit(), run.epochs


def same(one: Tensors, other: Tensors) -> bool:
    return all(torch.equal(one[name], other[name]) for name in other)


class TestMultiprocessTrainer:
    @pytest.mark.external
    def test_two_processes_have_the_loss_curve_of_one_with_the_same_batches(self, tmp_path: Path) -> None:
        subprocess.run(
            [sys.executable, "-m", *TORCHRUN, "tests.support.ranks", str(tmp_path / "two")], cwd=ROOT, check=True
        )
        train_a_share(tmp_path / "one", SINGLE_PROCESS)
        alone, first, second = (load_file(tmp_path / name) for name in ("one.0", "two.0", "two.1"))
        for name, value in alone.items():
            assert torch.allclose(first[name], value, rtol=1e-5, atol=1e-6), name
        assert all(torch.equal(first[name], second[name]) for name in first), "all ranks end with the same weights"
        assert alone["train"].min() < 0.97 * alone["train"][0]
        assert not torch.equal(first["train"], alone["train"]), "sums of halves are rounded in another way"

    @pytest.mark.external
    def test_they_stop_together_and_go_on_to_the_same_weights(self, whole: tuple[FitResult, list[float]]) -> None:
        first = Run(stopping=lambda run: True)
        with pytest.raises(JobInterrupted, match="to continue from the checkpoint"):
            first.fit()
        second = Run(start=from_bytes(first.documents[-1], "job"))
        fitted = second.fit()
        assert same(fitted.network.state_dict(), whole[0].network.state_dict())
        assert first.epochs + second.epochs == whole[1]
        assert (fitted.best_epoch, fitted.best_auc) == (whole[0].best_epoch, whole[0].best_auc)

    @pytest.mark.external
    def test_when_one_dies_the_others_end_and_the_job_may_be_tried_again(
        self, whole: tuple[FitResult, list[float]]
    ) -> None:
        endless = RECIPE.model_copy(update={"epochs": 100_000})

        def kill_the_second(run: Run) -> bool:
            if run.documents:
                for process in ranks():
                    with suppress(psutil.NoSuchProcess):
                        if process.environ()["RANK"] == "1":
                            process.kill()
            return False

        with pytest.raises(TrainingProcessLost, match="continues from its checkpoint") as lost:
            Run(stopping=kill_the_second, recipe=endless).fit()
        assert lost.value.retryable
        assert not ranks()


def ranks() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a zombie, or gone since
            found += [process] if "RANK" in process.environ() else []
    return found


class TestFrozenStages:
    @pytest.mark.external
    def test_they_learn_what_lies_behind_frozen_stages_and_nothing_else(self) -> None:
        torch.manual_seed(5)
        network = build("modified_cnn")
        before = {name: value.clone() for name, value in network.state_dict().items()}
        recipe = RECIPE.model_copy(update={"epochs": 1, "frozen": 3})
        maps = np.random.default_rng(0).random((24, 96, 8, 8)).astype(np.float16)
        behind = Examples(maps, np.arange(24, dtype=np.int64) % 3)
        MultiprocessTrainer(processes=2, network="modified_cnn", threads=1, deterministic=False, compiled=False).fit(
            trainable_part(network, recipe, pretrained=True),
            recipe,
            behind,
            behind,
            FitContext(pretrained=True, seed=5, device=CPU, on_epoch=lambda _: None),
        )
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        assert {name.removeprefix("trunk.").partition(".")[0] for name in changed} == {"3", "4", "head"}
