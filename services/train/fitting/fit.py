"""The training loop: from a model and a recipe to the weights of the best epoch and the history.

A job can be stopped after any batch, and resumes from its checkpoint to the weights that it would have had without the
interruption. This module knows arrays and values only; queue, store and settings are in `fold` and `tasks`.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from services.train.data.batches import BatchLoader
from services.train.data.device import autocast, training_format
from services.train.data.examples import Examples
from services.train.data.process_group import SINGLE_PROCESS, ProcessGroup
from services.train.fitting.checkpoint import Checkpoint, TrainingProgress, capture, restore
from services.train.fitting.loss import batch_loss
from services.train.fitting.optimiser import adamw, clip_gradient, learning_rate_factor, set_learning_rates
from services.train.fitting.predict import predict
from services.train.fitting.scores import log_loss, macro_auc
from services.train.fitting.serialise import Tensors
from services.train.fitting.unfreezing import set_trainable
from shared.errors import JobInterrupted, MammoError
from shared.modelling.evaluation import EpochRecord
from shared.modelling.networks import MammogramNetwork
from shared.modelling.recipes import TrainingFormat, TrainingRecipe


class TrainingDiverged(MammoError):
    """The loss is not finite any more."""

    code = "training-diverged"


@dataclass(frozen=True)
class FitResult:
    """A trained network with the weights of its best epoch, and the history."""

    network: MammogramNetwork
    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    best_auc: float | None
    number_format: TrainingFormat


@dataclass(frozen=True)
class FitContext:
    """Device, seed, checkpoint and callbacks of a training.

    `on_epoch` receives the record of each epoch. `on_checkpoint` receives the state after every epoch but the last, and
    must not use it after it has returned, because training changes the tensors. `stopping` is called after every batch.
    """

    pretrained: bool
    seed: int
    device: torch.device
    on_epoch: Callable[[EpochRecord], None]
    start: Checkpoint | None = None
    on_checkpoint: Callable[[Checkpoint], None] = lambda _: None
    stopping: Callable[[], bool] = lambda: False


@dataclass
class _FitState:
    """A network in training; `losses` and `seconds` are those of the current epoch's batches so far."""

    network: MammogramNetwork
    recipe: TrainingRecipe
    context: FitContext
    group: ProcessGroup
    number_format: TrainingFormat
    loader: BatchLoader
    optimiser: torch.optim.AdamW
    best_weights: Tensors
    epochs: list[EpochRecord]
    losses: list[float]
    seconds: float

    @property
    def steps(self) -> int:
        return self.loader.batches * self.recipe.epochs

    def checkpoint(self, best_weights: Tensors) -> None:
        """Pass the current state to `on_checkpoint`."""
        progress = TrainingProgress(
            epochs=tuple(self.epochs),
            losses=tuple(self.losses),
            seconds=self.seconds,
            number_format=self.number_format,
        )
        self.context.on_checkpoint(capture(self.network, self.optimiser, best_weights, progress))


def fit(
    network: MammogramNetwork,
    recipe: TrainingRecipe,
    train: Examples,
    validation: Examples,
    context: FitContext,
    group: ProcessGroup = SINGLE_PROCESS,
) -> FitResult:
    """Train a network; validation films choose the epoch (macro AUC, then loss).

    A pretrained network is unfrozen in stages: first its new head alone, then all of it, the trunk at lower rates
    (`unfreezing`). Stages that stay frozen are not part of `network` (`frozen_features`).
    The same seed on the same machine gives the same weights, also if the job resumes from `context.start`: all random
    numbers follow from the seed, the epoch and the batch, and the number format stays the one that it began with.

    All processes of a `group` call this with the same arguments and get the same weights. It is sufficient that one of
    them has callbacks; if `stopping` returns True in one, all stop.

    Raises:
        TrainingDiverged: the loss is not finite.
        JobInterrupted: `stopping` returned True; the state was passed to `on_checkpoint`.
    """
    state = _initial_state(network, recipe, train, context, group)
    network, epochs = state.network, state.epochs
    for epoch in range(len(epochs) + 1, recipe.epochs + 1):
        _train_epoch(state, epoch)
        probabilities = predict(network, validation, recipe.batch_size, context.device)
        record = EpochRecord(
            epoch=epoch,
            train_loss=float(np.mean(state.losses)),
            validation_loss=_finite(log_loss(probabilities, validation.labels), epoch),
            validation_auc=macro_auc(validation.labels, probabilities),
            learning_rate=recipe.learning_rate * learning_rate_factor(epoch * state.loader.batches, state.steps),
            images_per_second=len(train.labels) / state.seconds,
        )
        epochs.append(record)
        state.losses, state.seconds = [], 0.0
        improved = _best(epochs) is record
        if improved:
            state.best_weights = copy.deepcopy(network.state_dict())
        context.on_epoch(record)
        if recipe.patience and group.any(epoch - _best(epochs).epoch >= recipe.patience):
            break
        if epoch < recipe.epochs:
            state.checkpoint({} if improved else state.best_weights)

    network.load_state_dict(state.best_weights)
    best = _best(epochs)
    return FitResult(network, tuple(epochs), best.epoch, best.validation_auc, state.number_format)


def _initial_state(
    network: MammogramNetwork, recipe: TrainingRecipe, train: Examples, context: FitContext, group: ProcessGroup
) -> _FitState:
    """Move a network to its device and restore the checkpoint, if there is one."""
    network = network.to(context.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on a CPU
    optimiser = adamw(network, recipe, pretrained=context.pretrained)
    loader = BatchLoader(train, recipe, context.seed, context.device, group)
    progress, best_weights = TrainingProgress(), Tensors()
    if start := context.start:
        restore(start, network, optimiser, context.device)
        progress, best_weights = start.progress, start.best or copy.deepcopy(network.state_dict())
    return _FitState(
        network=network,
        recipe=recipe,
        context=context,
        group=group,
        number_format=progress.number_format or training_format(recipe.precision, context.device),
        loader=loader,
        optimiser=optimiser,
        best_weights=best_weights,
        epochs=list(progress.epochs),
        losses=list(progress.losses),
        seconds=progress.seconds,
    )


def _train_epoch(state: _FitState, epoch: int) -> None:
    """Do the remaining steps of an epoch; raises JobInterrupted as `fit`."""
    network, loader, group = state.network, state.loader, state.group
    began = time.perf_counter() - state.seconds
    set_trainable(network, state.recipe, epoch, pretrained=state.context.pretrained)
    forward = group.wrap(network, state.context.device)
    losses: list[Tensor] = []  # they stay on the device: reading one would wait for a GPU
    interrupted = False
    for number in range(len(state.losses), loader.batches):
        step = (epoch - 1) * loader.batches + number
        set_learning_rates(state.optimiser, learning_rate_factor(step, state.steps))
        batch = loader.load(epoch, number)
        with autocast(state.number_format, state.context.device):
            loss = batch_loss(network, forward, batch, state.recipe, loader.class_weights)
        loss = loss / batch.weight
        state.optimiser.zero_grad(set_to_none=True)
        (loss * group.size).backward()  # the gradients of the processes are averaged
        clip_gradient(network, state.optimiser)
        state.optimiser.step()
        losses.append(loss.detach())
        if interrupted := group.any(state.context.stopping()):
            break
    state.losses += _read_losses(losses, group, epoch)
    state.seconds = time.perf_counter() - began
    if interrupted:
        state.checkpoint(state.best_weights)
        raise JobInterrupted(f"stopped in epoch {epoch}; run again to continue from the checkpoint")


def _read_losses(losses: list[Tensor], group: ProcessGroup, epoch: int) -> list[float]:
    """Return the loss of every batch, summed over processes; waits for the device."""
    return [_finite(loss, epoch) for loss in group.sum(torch.stack(losses)).tolist()] if losses else []


def _best(epochs: list[EpochRecord]) -> EpochRecord:
    """Return the best epoch; the first one, if several are equal."""
    return max(epochs, key=lambda record: (record.validation_auc or 0.0, -record.validation_loss))


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise TrainingDiverged(f"the loss is not finite in epoch {epoch}; lower the recipe's learning_rate")
    return loss
