"""One training job, straight down: model and recipe in, the weights of the best epoch and the history out.

A job can be stopped after any batch and goes on from its checkpoint to the weights it would have had anyway.
Arrays and values only; the queue, the store and the settings stay in `tasks`.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from services.train.data.batches import Batch, Feed
from services.train.data.device import Inputs, autocast
from services.train.data.examples import Examples
from services.train.data.lesion_targets import place_losses
from services.train.data.process_group import ALONE, Ranks
from services.train.fitting.checkpoint import Checkpoint, Progress, Tensors, capture, restore
from services.train.fitting.optimiser import adamw, clip, part_of_rate, set_rates
from services.train.fitting.scores import log_loss, macro_auc
from services.train.fitting.unfreezing import set_learning
from shared.domain.arrays import Float64Array
from shared.domain.records import CLASSES
from shared.errors import JobInterrupted, MammoError
from shared.modelling.evaluation import EpochRecord
from shared.modelling.networks import MammogramNetwork, PlacesHead
from shared.modelling.recipes import TrainingRecipe


class TrainingDiverged(MammoError):
    """The loss stopped being a number."""

    code = "training-diverged"


@dataclass(frozen=True)
class Fitted:
    """`network` holds the weights of the best epoch."""

    network: MammogramNetwork
    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    best_auc: float | None


@dataclass(frozen=True)
class FitContext:
    """Where and from what a network is fitted, and the callbacks that follow it.

    `on_epoch` gets the record of each epoch. `on_checkpoint` gets the state after every epoch but the last; it has to
    be done with it when it returns, for the tensors go on learning. `stopping` is called after every batch.
    """

    pretrained: bool
    seed: int
    device: torch.device
    on_epoch: Callable[[EpochRecord], None]
    start: Checkpoint | None = None
    on_checkpoint: Callable[[Checkpoint], None] = lambda _: None
    stopping: Callable[[], bool] = lambda: False


@dataclass
class _Run:
    """A network while it learns. `losses` and `seconds` are those of the present epoch so far."""

    network: MammogramNetwork
    recipe: TrainingRecipe
    context: FitContext
    ranks: Ranks
    feed: Feed
    optimiser: torch.optim.AdamW
    best_weights: Tensors
    epochs: list[EpochRecord]
    losses: list[float]
    seconds: float

    @property
    def steps(self) -> int:
        return self.feed.batches * self.recipe.epochs

    def hand_over(self, best_weights: Tensors) -> None:
        """Give the present state to `on_checkpoint`."""
        progress = Progress(epochs=tuple(self.epochs), losses=tuple(self.losses), seconds=self.seconds)
        self.context.on_checkpoint(capture(self.network, self.optimiser, best_weights, progress))


def fit(
    network: MammogramNetwork,
    recipe: TrainingRecipe,
    train: Examples,
    validation: Examples,
    context: FitContext,
    ranks: Ranks = ALONE,
) -> Fitted:
    """Train `network` by `recipe`; validation films choose the epoch (macro AUC, then loss).

    A pretrained network learns in stages: its new head alone, then all of it, the trunk at lower rates (`unfreezing`).
    Stages that never learn are not part of what is given here (`frozen_features`).
    The same seed on the same machine gives the same weights, also where the job goes on from `context.start`: all that
    is drawn follows from the seed, the epoch and the batch.

    Several `ranks` call this with the same arguments, and end with the same weights; it is enough that one of them has
    callbacks, and one `stopping` stops them all.

    Raises:
        TrainingDiverged: the loss is not a number any more.
        JobInterrupted: `stopping` returned true; the state was handed to `on_checkpoint`.
    """
    run = _begin(network, recipe, train, context, ranks)
    network, epochs, device = run.network, run.epochs, context.device
    for epoch in range(len(epochs) + 1, recipe.epochs + 1):
        _learn(run, epoch)
        probabilities = predict(network, validation.inputs, recipe.batch_size, device)
        record = EpochRecord(
            epoch=epoch,
            train_loss=float(np.mean(run.losses)),
            validation_loss=_finite(log_loss(probabilities, validation.labels), epoch),
            validation_auc=macro_auc(validation.labels, probabilities),
            learning_rate=recipe.learning_rate * part_of_rate(epoch * run.feed.batches, run.steps),
            images_per_second=len(train.labels) / run.seconds,
        )
        epochs.append(record)
        run.losses, run.seconds = [], 0.0
        improved = _best(epochs) is record
        if improved:
            run.best_weights = copy.deepcopy(network.state_dict())
        context.on_epoch(record)
        if recipe.patience and ranks.any(epoch - _best(epochs).epoch >= recipe.patience):
            break
        if epoch < recipe.epochs:
            run.hand_over({} if improved else run.best_weights)

    network.load_state_dict(run.best_weights)
    best = _best(epochs)
    return Fitted(network, tuple(epochs), best.epoch, best.validation_auc)


def _begin(
    network: MammogramNetwork, recipe: TrainingRecipe, train: Examples, context: FitContext, ranks: Ranks
) -> _Run:
    """Put a network on its device, in the state of the checkpoint where there is one."""
    network = network.to(context.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on a CPU
    optimiser = adamw(network, recipe, pretrained=context.pretrained)
    feed = Feed(train, recipe, context.seed, context.device, ranks)
    progress, best_weights = Progress(), Tensors()
    if start := context.start:
        restore(start, network, optimiser, context.device)
        progress, best_weights = start.progress, start.best or copy.deepcopy(network.state_dict())
    return _Run(
        network=network,
        recipe=recipe,
        context=context,
        ranks=ranks,
        feed=feed,
        optimiser=optimiser,
        best_weights=best_weights,
        epochs=list(progress.epochs),
        losses=list(progress.losses),
        seconds=progress.seconds,
    )


def _learn(run: _Run, epoch: int) -> None:
    """Take the steps of an epoch that are left; raises JobInterrupted as `fit` does."""
    network, feed, ranks = run.network, run.feed, run.ranks
    began = time.perf_counter() - run.seconds
    set_learning(network, run.recipe, epoch, pretrained=run.context.pretrained)
    model = ranks.together(network, run.context.device)
    recent: list[Tensor] = []  # on the device: to look at a loss is to wait for a GPU
    for number in range(len(run.losses), feed.batches):
        set_rates(run.optimiser, part_of_rate((epoch - 1) * feed.batches + number, run.steps))
        loss = _batch_loss(run, model, feed.batch(epoch, number))
        run.optimiser.zero_grad(set_to_none=True)
        (loss * ranks.count).backward()  # the ranks' gradients will be averaged
        clip(network, run.optimiser)
        run.optimiser.step()
        recent.append(loss.detach())
        if ranks.any(run.context.stopping()):
            run.losses += _values(recent, ranks, epoch)
            run.seconds = time.perf_counter() - began
            run.hand_over(run.best_weights)
            raise JobInterrupted(f"stopped in epoch {epoch}; run again to continue from the checkpoint")
    run.losses += _values(recent, ranks, epoch)
    run.seconds = time.perf_counter() - began


def _batch_loss(run: _Run, model: Callable[[Tensor], tuple[Tensor, Tensor]], batch: Batch) -> Tensor:
    """Return this rank's part of the mean loss over the batch of all ranks."""
    recipe, weights = run.recipe, run.feed.weights
    with autocast(recipe.precision, run.context.device):
        logits, features = model(batch.films)
        loss = cross_entropy(
            logits, batch.labels, weights, label_smoothing=recipe.label_smoothing, reduction="sum"
        ) + recipe.lesion_weight * _place_loss(run.network, features, batch, weights)
    return loss / batch.weight


@torch.inference_mode()
def predict(network: MammogramNetwork, inputs: Inputs, batch_size: int, device: torch.device) -> Float64Array:
    """Return class probabilities, float64 N x 3; each row sums to 1."""
    network.eval()
    parts = [
        network(torch.from_numpy(inputs[first : first + batch_size]).to(device, torch.float32))[0]
        .double()
        .softmax(1)
        .cpu()
        .numpy()
        for first in range(0, len(inputs), batch_size)
    ]
    return np.concatenate(parts) if parts else np.empty((0, len(CLASSES)))


def _place_loss(network: MammogramNetwork, features: Tensor, batch: Batch, weights: Tensor) -> Tensor | float:
    """Return the loss of the feature maps' places; 0 where nothing is known of them."""
    if batch.places is None:
        return 0.0
    return place_losses(cast("PlacesHead", network.head).places(features), batch.places, weights).sum()


def _values(losses: list[Tensor], ranks: Ranks, epoch: int) -> list[float]:
    """Return the loss of every batch, the ranks' parts added up; waits for the device."""
    return [_finite(loss, epoch) for loss in ranks.added(torch.stack(losses)).tolist()] if losses else []


def _best(epochs: list[EpochRecord]) -> EpochRecord:
    """Return the best epoch so far; the first one, where several are equal."""
    return max(epochs, key=lambda record: (record.validation_auc or 0.0, -record.validation_loss))


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise TrainingDiverged(f"the loss is not a number in epoch {epoch}; lower the recipe's learning_rate")
    return loss
