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


def fit(
    network: MammogramNetwork,
    recipe: TrainingRecipe,
    train: Examples,
    validation: Examples,
    *,
    pretrained: bool,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[EpochRecord], None],
    start: Checkpoint | None = None,
    on_checkpoint: Callable[[Checkpoint], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> Fitted:
    """Trains `network` by `recipe`; validation films choose the epoch (macro AUC, then loss).

    A pretrained network learns in stages: its new head alone, then all of it, the trunk at lower rates (`unfreezing`).
    Stages that never learn are not part of what is given here (`frozen_features`).
    The same seed on the same machine gives the same weights, also where the job goes on from `start`: all that is drawn
    follows from the seed, the epoch and the batch.

    `on_checkpoint` gets the state after every epoch but the last. It has to be done with it when it returns, for the
    tensors go on learning. `stopping` is asked after every batch.
    Several `ranks` call this with the same arguments, and end with the same weights; it is enough that one of them has
    callbacks, and one `stopping` stops them all.

    Raises:
        TrainingDiverged: the loss is not a number any more.
        JobInterrupted: `stopping` said yes; the state was handed to `on_checkpoint`.
    """
    network = network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on a CPU
    optimiser = adamw(network, recipe, pretrained=pretrained)
    feed = Feed(train, recipe, seed, device, ranks)
    steps = feed.batches * recipe.epochs
    progress, best_weights = Progress(), Tensors()
    if start:
        restore(start, network, optimiser, device)
        progress, best_weights = start.progress, start.best or copy.deepcopy(network.state_dict())
    epochs, losses, seconds = list(progress.epochs), list(progress.losses), progress.seconds

    for epoch in range(len(epochs) + 1, recipe.epochs + 1):
        began = time.perf_counter() - seconds
        set_learning(network, recipe, epoch, pretrained=pretrained)
        model = ranks.together(network, device)
        recent: list[Tensor] = []  # on the device: to look at a loss is to wait for a GPU
        for number in range(len(losses), feed.batches):
            set_rates(optimiser, part_of_rate((epoch - 1) * feed.batches + number, steps))
            batch = feed.batch(epoch, number)
            with autocast(recipe.precision, device):
                logits, features = model(batch.films)
                loss = cross_entropy(
                    logits, batch.labels, feed.weights, label_smoothing=recipe.label_smoothing, reduction="sum"
                ) + recipe.lesion_weight * _place_loss(network, features, batch, feed.weights)
            loss = loss / batch.weight  # of all ranks' images
            optimiser.zero_grad(set_to_none=True)
            (loss * ranks.count).backward()  # the ranks' gradients will be averaged
            clip(network, optimiser)
            optimiser.step()
            recent.append(loss.detach())
            if ranks.any(stopping()):
                losses += _values(recent, ranks, epoch)
                progress = Progress(epochs=tuple(epochs), losses=tuple(losses), seconds=time.perf_counter() - began)
                on_checkpoint(capture(network, optimiser, best_weights, progress))
                raise JobInterrupted(f"stopped in epoch {epoch}; run again to continue from the checkpoint")
        losses += _values(recent, ranks, epoch)
        seconds = time.perf_counter() - began
        probabilities = predict(network, validation.inputs, recipe.batch_size, device)
        record = EpochRecord(
            epoch=epoch,
            train_loss=float(np.mean(losses)),
            validation_loss=_finite(log_loss(probabilities, validation.labels), epoch),
            validation_auc=macro_auc(validation.labels, probabilities),
            learning_rate=recipe.learning_rate * part_of_rate(epoch * feed.batches, steps),
            images_per_second=len(train.labels) / seconds,
        )
        epochs.append(record)
        losses, seconds = [], 0.0
        improved = _best(epochs) is record
        if improved:
            best_weights = copy.deepcopy(network.state_dict())
        on_epoch(record)
        if recipe.patience and ranks.any(epoch - _best(epochs).epoch >= recipe.patience):
            break
        if epoch < recipe.epochs:
            progress = Progress(epochs=tuple(epochs))
            on_checkpoint(capture(network, optimiser, {} if improved else best_weights, progress))

    network.load_state_dict(best_weights)
    best = _best(epochs)
    return Fitted(network, tuple(epochs), best.epoch, best.validation_auc)


@torch.inference_mode()
def predict(network: MammogramNetwork, inputs: Inputs, batch_size: int, device: torch.device) -> Float64Array:
    """Class probabilities, float64 N x 3; each row sums to 1."""
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
    """Of what the places of the films' feature maps are taken for; 0 where nothing is known of them."""
    if batch.places is None:
        return 0.0
    return place_losses(cast("PlacesHead", network.head).places(features), batch.places, weights).sum()


def _values(losses: list[Tensor], ranks: Ranks, epoch: int) -> list[float]:
    """Of every batch, the ranks' parts added up; the batches are waited for."""
    return [_finite(loss, epoch) for loss in ranks.added(torch.stack(losses)).tolist()] if losses else []


def _best(epochs: list[EpochRecord]) -> EpochRecord:
    """The first one, where several are equal."""
    return max(epochs, key=lambda record: (record.validation_auc or 0.0, -record.validation_loss))


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise TrainingDiverged(f"the loss is not a number in epoch {epoch}; lower the recipe's learning_rate")
    return loss
