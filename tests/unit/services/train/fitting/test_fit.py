"""The training loop on arrays: it learns, it is seeded, it keeps the best epoch, it says when it diverges,
and interrupted or not it ends with the same weights."""

from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import count

import numpy as np
import pytest
import torch
from torch import nn

from services.train.data import device
from services.train.data.examples import Examples
from services.train.data.process_group import ProcessGroup
from services.train.fitting.checkpoint import Checkpoint, from_bytes, to_bytes
from services.train.fitting.fit import FitContext, FitResult, TrainingDiverged, fit
from services.train.fitting.optimiser import clip_gradient
from services.train.fitting.predict import predict
from services.train.fitting.scores import macro_auc
from shared.errors import JobInterrupted
from shared.modelling.evaluation import EpochRecord
from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork, build, head_layers
from shared.modelling.recipes import Jitter, TrainingFormat, TrainingRecipe

CPU = torch.device("cpu")
RECIPE = TrainingRecipe(input_size=64, epochs=6, batch_size=8, learning_rate=5e-3)


def examples(count: int = 48, seed: int = 0) -> Examples:
    """Dark noise; class 1 has a bright disc's worth of pixels on the left, class 2 on the right."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    inputs = rng.random((count, 1, 64, 64), np.float32) * 0.3
    for index, label in enumerate(labels):
        if label:
            column = 10 if label == 1 else 40
            inputs[index, 0, 20:40, column : column + 14] += 0.6
    return Examples(inputs, labels)


def train(seed: int = 1, recipe: TrainingRecipe = RECIPE) -> tuple[MammogramNetwork, list[EpochRecord]]:
    seen: list[EpochRecord] = []
    torch.manual_seed(seed)
    fitted = fit(
        build("modified_cnn"), recipe, examples(), examples(24, 1),
        FitContext(pretrained=False, seed=seed, device=CPU, on_epoch=seen.append),
    )  # fmt: skip
    return fitted.network, seen


SHORT = TrainingRecipe(
    input_size=64, epochs=3, batch_size=4, learning_rate=5e-3, jitter=Jitter(rotation_deg=5, shift=0.05, contrast=0.1)
)
TRANSFER = SHORT.model_copy(update={"epochs": 2, "head_epochs": 1})
VALIDATION = examples(12, 1)


class Job:
    """A short training that keeps its checkpoints as bytes; a pretrained network first learns its head alone.

    It is interrupted after the batch with the number `stop_after`. One that goes on from `start` begins with other
    weights and another state of torch.
    """

    def __init__(
        self, kind: Network, stop_after: int | None = None, start: Checkpoint | None = None,
        validation: Examples = VALIDATION,
    ) -> None:  # fmt: skip
        self.documents: list[bytes] = []
        self.epochs: list[EpochRecord] = []
        self.fitted: FitResult | None = None
        pretrained, batches = kind != "modified_cnn", count(1)
        torch.manual_seed(99 if start else 4)
        with suppress(JobInterrupted):
            self.fitted = fit(
                build(kind), TRANSFER if pretrained else SHORT, examples(12), validation,
                FitContext(pretrained=pretrained, seed=4, device=CPU, on_epoch=self.epochs.append, start=start,
                on_checkpoint=lambda checkpoint: self.documents.append(to_bytes(checkpoint, "job")),
                stopping=lambda: next(batches) == stop_after),
            )  # fmt: skip

    @property
    def checkpoint(self) -> Checkpoint:
        return from_bytes(self.documents[-1], "job")


@cache
def undisturbed(kind: Network) -> Job:
    return Job(kind)


def timeless(epochs: tuple[EpochRecord, ...] | list[EpochRecord]) -> list[EpochRecord]:
    return [epoch.model_copy(update={"images_per_second": 0.0}) for epoch in epochs]


def assert_same_end(job: Job, expected: Job) -> None:
    assert job.fitted
    assert expected.fitted
    weights = expected.fitted.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in job.fitted.network.state_dict().items())
    assert timeless(job.fitted.epochs) == timeless(expected.fitted.epochs)
    assert (job.fitted.best_epoch, job.fitted.best_auc) == (expected.fitted.best_epoch, expected.fitted.best_auc)


class TestFit:
    def test_it_learns_what_can_be_learned(self) -> None:
        network, epochs = train()
        held_out = examples(24, 2)
        probabilities = predict(network, held_out, 8, CPU)
        assert (probabilities.argmax(1) == held_out.labels).mean() > 0.9
        assert epochs[-1].train_loss < epochs[0].train_loss

    def test_examples_that_are_rows_of_a_larger_array_are_trained_on_as_if_they_were_alone(self) -> None:
        alone, rows = examples(), np.random.default_rng(5).permutation(60)[:48]
        pool = np.full((60, 1, 64, 64), 0.5, np.float32)
        pool[rows] = alone.inputs
        short = RECIPE.model_copy(update={"epochs": 1})
        states = []
        for train_on in (alone, Examples(pool, alone.labels, rows)):
            torch.manual_seed(1)
            fitted = fit(
                build("modified_cnn"), short, train_on, examples(24, 1),
                FitContext(pretrained=False, seed=1, device=CPU, on_epoch=lambda _: None),
            )  # fmt: skip
            states.append(fitted.network.state_dict())
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    def test_the_same_seed_gives_the_same_weights_and_another_seed_others(self) -> None:
        short = RECIPE.model_copy(update={"epochs": 1})
        first, again, other = (train(seed, short)[0].state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not all(torch.equal(first[name], other[name]) for name in first)

    def test_the_weights_are_those_of_the_epoch_that_validation_chose(self) -> None:
        seen: list[EpochRecord] = []
        states: list[dict[str, torch.Tensor]] = []
        torch.manual_seed(3)
        network = build("modified_cnn")

        def remember(epoch: EpochRecord) -> None:
            seen.append(epoch)
            states.append({name: value.clone() for name, value in network.state_dict().items()})

        fitted = fit(
            network,
            RECIPE,
            examples(),
            examples(24, 1),
            FitContext(pretrained=False, seed=3, device=CPU, on_epoch=remember),
        )
        best = max(seen, key=lambda epoch: (epoch.validation_auc or 0, -epoch.validation_loss))
        assert fitted.best_epoch == best.epoch
        kept = states[best.epoch - 1]
        assert all(torch.equal(kept[name], value) for name, value in fitted.network.state_dict().items())

    def test_it_ends_when_no_epoch_has_been_better_for_as_long_as_its_patience(self) -> None:
        patient = RECIPE.model_copy(update={"epochs": 30, "patience": 2, "learning_rate": 1e-9})
        torch.manual_seed(3)
        fitted = fit(
            build("modified_cnn"), patient, examples(), examples(24, 1),
            FitContext(pretrained=False, seed=3, device=CPU, on_epoch=lambda _: None),
        )  # fmt: skip
        assert len(fitted.epochs) == fitted.best_epoch + 2 < 30

    def test_in_the_first_epochs_of_transfer_only_the_head_learns(self) -> None:
        torch.manual_seed(0)
        network = build("modified_cnn")
        before = {name: value.clone() for name, value in network.state_dict().items()}
        recipe = RECIPE.model_copy(update={"epochs": 1, "head_epochs": 1})
        fit(
            network,
            recipe,
            examples(),
            examples(24, 1),
            FitContext(pretrained=True, seed=0, device=CPU, on_epoch=lambda _: None),
        )
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        head = head_layers(network)
        assert changed == {
            name for name, value in network.named_parameters() if any(value is p for p in head.parameters())
        }

    def test_circles_have_a_say_in_what_is_learned(self) -> None:
        data = examples()
        short = RECIPE.model_copy(update={"epochs": 1, "lesion_weight": 1.0})
        states = []
        for places in (None, np.tile(data.labels[:, None, None].astype(np.int8), (1, 4, 4))):
            torch.manual_seed(1)
            fitted = fit(
                build("modified_cnn"), short, replace(data, place_labels=places), examples(24, 1),
                FitContext(pretrained=False, seed=1, device=CPU, on_epoch=lambda _: None),
            )  # fmt: skip
            states.append(fitted.network.state_dict())
        assert not all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    def test_jitter_touches_training_images_only_and_changes_what_is_learned(self) -> None:
        data, validation = examples(), examples(24, 1)
        before = data.inputs.copy(), validation.inputs.copy()
        states = []
        for jitter in (Jitter(), Jitter(rotation_deg=20, brightness=0.2)):
            torch.manual_seed(1)
            fitted = fit(
                build("modified_cnn"), RECIPE.model_copy(update={"epochs": 1, "jitter": jitter}), data, validation,
                FitContext(pretrained=False, seed=1, device=CPU, on_epoch=lambda _: None),
            )  # fmt: skip
            states.append(head_layers(fitted.network).weight)
        assert np.array_equal(data.inputs, before[0])
        assert np.array_equal(validation.inputs, before[1])
        assert not torch.equal(*states)

    def test_in_mixed_precision_it_learns_as_well_and_its_weights_stay_single(self) -> None:
        short = RECIPE.model_copy(update={"epochs": 2})
        single = short.model_copy(update={"precision": "float32"})
        network, epochs = train(recipe=short.model_copy(update={"precision": "bfloat16"}))
        assert {value.dtype for name, value in network.state_dict().items() if "num_batches" not in name} == {
            torch.float32
        }
        assert epochs[1].train_loss < 0.8 * epochs[0].train_loss
        assert epochs[0].train_loss != train(recipe=single)[1][0].train_loss

    def test_a_large_gradient_is_clipped_to_its_norm(self) -> None:
        network = build("modified_cnn")
        for weights in network.parameters():
            weights.grad = torch.full_like(weights, 2.0)
        expected = {name: weights.grad.clone() for name, weights in network.named_parameters()}
        norm = nn.utils.get_total_norm(expected.values())
        moments = []
        for scaled in (True, False):
            optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, fused=True)
            if scaled:
                clip_gradient(network, optimiser)
            else:
                for name, weights in network.named_parameters():
                    weights.grad = expected[name] * 5 / norm
            optimiser.step()
            moments.append([optimiser.state[weights]["exp_avg"] for weights in network.parameters()])
        assert all(torch.allclose(one, other, rtol=1e-5) for one, other in zip(*moments, strict=True))
        for weights in network.parameters():
            weights.grad = torch.full_like(weights, 1e-6)
        clip_gradient(network, optimiser)
        assert vars(optimiser)["grad_scale"] == 1

    def test_a_pretrained_trunk_learns_at_a_lower_rate_than_the_head(self) -> None:
        rates = {}
        for trunk_rate in (1.0, 1e-6):
            torch.manual_seed(0)
            network = build("modified_cnn")
            before = network.trunk[0][0].weight.clone()
            recipe = RECIPE.model_copy(update={"epochs": 1, "trunk_rate": trunk_rate})
            fit(
                network,
                recipe,
                examples(),
                examples(24, 1),
                FitContext(pretrained=True, seed=0, device=CPU, on_epoch=lambda _: None),
            )
            rates[trunk_rate] = float((network.trunk[0][0].weight - before).detach().abs().max())
        assert rates[1e-6] < rates[1.0] / 100

    def test_training_ends_when_the_patience_of_one_of_several_processes_does(self) -> None:
        answers = iter(
            [False] * 6 + [True]
        )  # whether to stop after each batch, then whether one's patience is at its end

        class Told(ProcessGroup):
            def any(self, flag: bool) -> bool:
                return next(answers)

        fitted = fit(
            build("modified_cnn"), RECIPE.model_copy(update={"patience": 5}), examples(), examples(24, 1),
            FitContext(pretrained=False, seed=0, device=CPU, on_epoch=lambda _: None), group=Told(),
        )  # fmt: skip
        assert len(fitted.epochs) == 1

    def test_a_loss_that_is_no_number_ends_the_training_with_advice(self) -> None:
        network = build("modified_cnn")
        nn.init.constant_(head_layers(network).weight, float("nan"))
        with pytest.raises(TrainingDiverged, match="lower the recipe's learning_rate"):
            fit(
                network,
                RECIPE,
                examples(),
                examples(9),
                FitContext(pretrained=False, seed=0, device=CPU, on_epoch=lambda _: None),
            )

    def test_a_last_batch_of_one_image_is_left_out(self) -> None:
        recipe = RECIPE.model_copy(update={"epochs": 1, "batch_size": 8})
        fitted = fit(
            build("modified_cnn"), recipe, examples(9), examples(9), FitContext(pretrained=False, seed=0, device=CPU,
            on_epoch=lambda _: None),
        )  # fmt: skip
        assert np.isfinite(fitted.epochs[0].train_loss)

    def test_probabilities_are_rows_that_sum_to_one(self) -> None:
        probabilities = predict(build("modified_cnn"), examples(5), 2, CPU)
        assert probabilities.shape == (5, 3)
        assert np.allclose(probabilities.sum(1), 1, atol=1e-9)

    def test_auc_is_undefined_where_a_class_is_missing(self) -> None:
        assert macro_auc(np.array([0, 1, 1]), np.full((3, 3), 1 / 3)) is None

    @pytest.mark.parametrize("batches", range(1, 10))
    def test_interrupted_after_any_batch_it_ends_with_the_same_weights(self, batches: int) -> None:
        first = Job("modified_cnn", stop_after=batches)
        second = Job("modified_cnn", start=first.checkpoint)
        assert first.fitted is None
        assert_same_end(second, undisturbed("modified_cnn"))
        assert timeless(first.epochs + second.epochs) == timeless(undisturbed("modified_cnn").epochs)

    @pytest.mark.parametrize("batches", [2, 4])
    def test_so_does_a_pretrained_network_whether_its_head_or_all_of_it_was_learning(self, batches: int) -> None:
        first = Job("resnet50", stop_after=batches)
        assert_same_end(Job("resnet50", start=first.checkpoint), undisturbed("resnet50"))

    @pytest.mark.parametrize("began_in", ["bfloat16", "float32"])
    def test_it_goes_on_in_the_number_format_that_it_began_in(
        self, monkeypatch: pytest.MonkeyPatch, began_in: TrainingFormat
    ) -> None:
        monkeypatch.setattr(device, "has_amx", lambda: began_in == "bfloat16")
        whole, first = Job("modified_cnn"), Job("modified_cnn", stop_after=4)
        monkeypatch.setattr(device, "has_amx", lambda: began_in != "bfloat16")
        second = Job("modified_cnn", start=first.checkpoint)
        assert_same_end(second, whole)
        assert second.fitted is not None
        assert second.fitted.number_format == began_in
        other = Job("modified_cnn").fitted
        assert other is not None
        assert other.epochs[0].train_loss != second.fitted.epochs[0].train_loss

    @pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 5), (3, 3)])
    def test_it_can_be_interrupted_again(self, first: int, second: int) -> None:
        again = Job("modified_cnn", stop_after=second, start=Job("modified_cnn", stop_after=first).checkpoint)
        assert_same_end(Job("modified_cnn", start=again.checkpoint), undisturbed("modified_cnn"))

    def test_after_every_epoch_but_the_last_there_is_a_checkpoint_that_suffices_alone(self) -> None:
        whole = undisturbed("modified_cnn")
        checkpoints = [from_bytes(document, "job") for document in whole.documents]
        assert [len(checkpoint.progress.epochs) for checkpoint in checkpoints] == [1, 2]
        for checkpoint in checkpoints:
            assert_same_end(Job("modified_cnn", start=checkpoint), whole)

    def test_the_weights_of_an_earlier_best_epoch_outlive_an_interruption(self) -> None:
        contrary = Examples(VALIDATION.inputs, np.roll(VALIDATION.labels, 2))  # the more it learns the worse
        whole = Job("modified_cnn", validation=contrary)
        assert whole.fitted
        assert whole.fitted.best_epoch == 1
        for document in whole.documents + Job("modified_cnn", stop_after=5, validation=contrary).documents:
            assert_same_end(Job("modified_cnn", start=from_bytes(document, "job"), validation=contrary), whole)

    def test_the_best_weights_are_left_out_while_they_are_those_of_the_network(self) -> None:
        assert not from_bytes(undisturbed("modified_cnn").documents[0], "job").best
        assert Job("modified_cnn", stop_after=4).checkpoint.best

    def test_the_speed_of_an_epoch_counts_the_time_before_the_interruption(self) -> None:
        start = Job("modified_cnn", stop_after=3).checkpoint
        slow = replace(start, progress=start.progress.model_copy(update={"seconds": 1000.0}))
        assert Job("modified_cnn", start=slow).epochs[0].images_per_second == pytest.approx(12 / 1000, rel=0.1)

    def test_an_interrupted_job_says_that_it_goes_on_when_it_is_run_again(self) -> None:
        with pytest.raises(JobInterrupted, match="run again to continue from the checkpoint") as interruption:
            fit(
                build("modified_cnn"),
                RECIPE,
                examples(9),
                examples(9),
                FitContext(pretrained=False, seed=0, device=CPU, on_epoch=lambda _: None, stopping=lambda: True),
            )
        assert interruption.value.retryable
