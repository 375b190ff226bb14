"""Checkpoints as bytes: every bit comes back, and what is damaged or another job's is refused."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from services.train.fitting.checkpoint import (
    Checkpoint,
    CheckpointUnusable,
    TrainingProgress,
    capture,
    from_bytes,
    restore,
    to_bytes,
)
from services.train.fitting.serialise import Tensors
from shared.modelling.evaluation import EpochRecord
from shared.modelling.networks import build, head_layers

CPU = torch.device("cpu")
EPOCH = EpochRecord(
    epoch=1,
    train_loss=0.1 + 0.2,
    validation_loss=math.pi,
    validation_auc=None,
    learning_rate=1e-3 / 3,
    images_per_second=12.5,
)


def checkpoint(progress: TrainingProgress | None = None) -> Checkpoint:
    return Checkpoint(
        progress or TrainingProgress(epochs=(EPOCH,), losses=(1 / 3, 5e-324), seconds=0.7),
        network={"head.weight": torch.tensor([[1.0, -0.0], [float("nan"), 1e-45]]), "head.count": torch.tensor(3)},
        optimiser={"head.weight.step": torch.tensor(2.0), "head.weight.exp_avg": torch.randn(2, 2)},
        best={"head.weight": torch.randn(2, 2)},
    )


def same_bits(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].numpy().tobytes() == other[name].numpy().tobytes()
        for name in one
    )


DOCUMENT = to_bytes(checkpoint(), "job-1")


class TestFromBytes:
    def test_another_jobs_checkpoint_is_refused(self) -> None:
        with pytest.raises(CheckpointUnusable, match="belongs to another recipe, seed, data set or network"):
            from_bytes(DOCUMENT, "job-2")

    def test_a_truncated_checkpoint_is_refused_wherever_it_ends(self) -> None:
        for length in range(len(DOCUMENT)):
            with pytest.raises(CheckpointUnusable):
                from_bytes(DOCUMENT[:length], "job-1")

    def test_a_checkpoint_with_a_wrong_bit_is_refused_wherever_it_is(self) -> None:
        for place in range(len(DOCUMENT)):
            damaged = bytearray(DOCUMENT)
            damaged[place] ^= 1
            with pytest.raises(CheckpointUnusable) as refusal:
                from_bytes(bytes(damaged), "job-1")
            assert "\n" not in str(refusal.value)

    @pytest.mark.parametrize("document", [b"", b"no checkpoint", save({"weight": torch.zeros(3)}), DOCUMENT + b"more"])
    def test_what_is_no_checkpoint_is_refused(self, document: bytes) -> None:
        with pytest.raises(CheckpointUnusable, match="checkpoint is incomplete"):
            from_bytes(document, "job-1")


class TestCheckpoint:
    def test_every_bit_of_a_checkpoint_comes_back(self) -> None:
        before = checkpoint()
        after = from_bytes(to_bytes(before, "job-1"), "job-1")
        assert after.progress == before.progress
        assert same_bits(after.network, before.network)
        assert same_bits(after.optimiser, before.optimiser)
        assert same_bits(after.best, before.best)

    @settings(deadline=None)
    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
    def test_every_loss_comes_back_as_the_same_number(self, losses: list[float]) -> None:
        document = to_bytes(checkpoint(TrainingProgress(losses=tuple(losses))), "job-1")
        assert [loss.hex() for loss in from_bytes(document, "job-1").progress.losses] == [loss.hex() for loss in losses]

    def test_a_checkpoint_is_a_safetensors_document_and_no_pickle(self) -> None:
        assert {name.partition("/")[0] for name in load(DOCUMENT)} == {"network", "optimiser", "best"}

    def test_a_restored_checkpoint_is_not_changed_by_the_training_that_follows(self) -> None:
        network = build("modified_cnn")
        optimiser = torch.optim.AdamW(network.parameters())
        network(torch.rand(2, 1, 64, 64))[0].sum().backward()
        optimiser.step()
        document = to_bytes(capture(network, optimiser, {}, TrainingProgress()), "job-1")
        read, untouched = from_bytes(document, "job-1"), from_bytes(document, "job-1")
        restore(read, network, optimiser, CPU)
        optimiser.step()
        assert same_bits(read.network, untouched.network)
        assert same_bits(read.optimiser, untouched.optimiser)

    def test_a_parameter_that_never_learned_has_no_state_of_the_optimiser(self) -> None:
        network = build("modified_cnn")
        optimiser = torch.optim.AdamW(network.parameters())
        head_layers(network).bias.sum().backward()
        optimiser.step()
        captured = capture(network, optimiser, {}, TrainingProgress())
        assert {name.rpartition(".")[0] for name in captured.optimiser} == {"head.linear.bias"}
        again = build("modified_cnn")
        restored = torch.optim.AdamW(again.parameters())
        restore(captured, again, restored, CPU)
        assert list(restored.state) == [head_layers(again).bias]
