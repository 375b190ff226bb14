"""One training job, straight down: model and recipe in, the weights of the best epoch and the history out.

A job can be stopped after any batch and goes on from its checkpoint to the weights it would have had anyway.
Arrays and values only; the queue, the store and the settings stay in `tasks`.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from services.train.checkpoint import Checkpoint, Progress, Tensors, capture, restore
from shared.datasets.manifest import CLASSES
from shared.errors import JobInterrupted, MammoError
from shared.modelling.evaluation import EpochRecord
from shared.modelling.networks import MammogramNetwork, head_layers
from shared.modelling.recipes import TrainingRecipe

Floats = npt.NDArray[np.float32]
_WARM_UP = 0.1
_CLIP_NORM = 5.0


class TrainingDiverged(MammoError):
    """The loss stopped being a number."""

    code = "training-diverged"


@dataclass(frozen=True)
class Examples:
    """Network inputs, float32 in [0, 1], and the index of each one's class, int64 N.

    `pool` (M x 1 x S x S) may be larger than memory: examples are its `rows` (N), or all of it.
    """

    pool: Floats
    labels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.intp] | None = None

    @property
    def inputs(self) -> Floats:
        """All of them, N x 1 x S x S."""
        return self.pool if self.rows is None else self.pool[self.rows]

    def batch(self, chosen: npt.NDArray[np.int64]) -> Floats:
        """Some of them, by their number."""
        return self.pool[chosen if self.rows is None else self.rows[chosen]]


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
) -> Fitted:
    """Trains `network` by `recipe`; validation films choose the epoch (macro AUC, then loss).

    A pretrained network learns in two stages: its new head alone, then all of it but the layers that the recipe keeps
    frozen, the trunk at a lower rate.
    The same seed on the same machine gives the same weights, also where the job goes on from `start`.

    `on_checkpoint` gets the state after every epoch but the last. It has to be done with it when it returns, for the
    tensors go on learning. `stopping` is asked after every batch.

    Raises:
        TrainingDiverged: the loss is not a number any more.
        JobInterrupted: `stopping` said yes; the state was handed to `on_checkpoint`.
    """
    torch.manual_seed(seed)
    network = network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on a CPU
    optimiser = _optimiser(network, recipe, pretrained)
    weights = _class_weights(train.labels).to(device)
    batches = _batches(len(train.labels), recipe, seed)
    steps = math.ceil(len(train.labels) / recipe.batch_size) * recipe.epochs
    progress, best_weights = Progress(), Tensors()
    if start:
        restore(start, network, optimiser, device)
        progress, best_weights = start.progress, start.best or copy.deepcopy(network.state_dict())
    epochs, losses, seconds = list(progress.epochs), list(progress.losses), progress.seconds
    step = len(epochs) * len(batches[0]) + len(losses)

    for epoch in range(len(epochs) + 1, recipe.epochs + 1):
        began = time.perf_counter() - seconds
        _freeze(network, recipe, epoch, pretrained)
        for chosen in batches[epoch - 1][len(losses) :]:
            _set_rates(optimiser, _rate(step, steps))
            logits, _ = network(torch.from_numpy(train.batch(chosen)).to(device))
            labels = torch.from_numpy(train.labels[chosen]).to(device)
            loss = cross_entropy(logits, labels, weight=weights, label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), _CLIP_NORM)
            optimiser.step()
            step += 1
            losses.append(_finite(loss.item(), epoch))
            if stopping():
                progress = Progress(epochs=tuple(epochs), losses=tuple(losses), seconds=time.perf_counter() - began)
                on_checkpoint(capture(network, optimiser, best_weights, progress, device))
                raise JobInterrupted(f"stopped in epoch {epoch}; run again, it goes on from its checkpoint")
        seconds = time.perf_counter() - began
        probabilities = predict(network, validation.inputs, recipe.batch_size, device)
        record = EpochRecord(
            epoch=epoch,
            train_loss=float(np.mean(losses)),
            validation_loss=_finite(_log_loss(probabilities, validation.labels), epoch),
            validation_auc=macro_auc(validation.labels, probabilities),
            learning_rate=recipe.learning_rate * _rate(step, steps),
            images_per_second=len(train.labels) / seconds,
        )
        epochs.append(record)
        losses, seconds = [], 0.0
        improved = _best(epochs) is record
        if improved:
            best_weights = copy.deepcopy(network.state_dict())
        on_epoch(record)
        if epoch < recipe.epochs:
            progress = Progress(epochs=tuple(epochs))
            on_checkpoint(capture(network, optimiser, {} if improved else best_weights, progress, device))

    network.load_state_dict(best_weights)
    best = _best(epochs)
    return Fitted(network, tuple(epochs), best.epoch, best.validation_auc)


@torch.inference_mode()
def predict(
    network: MammogramNetwork, inputs: Floats, batch_size: int, device: torch.device
) -> npt.NDArray[np.float64]:
    """Class probabilities, float64 N x 3; each row sums to 1."""
    network.eval()
    parts = [
        network(torch.from_numpy(inputs[first : first + batch_size]).to(device))[0].double().softmax(1).cpu().numpy()
        for first in range(0, len(inputs), batch_size)
    ]
    return np.concatenate(parts) if parts else np.empty((0, len(CLASSES)))


def _optimiser(network: MammogramNetwork, recipe: TrainingRecipe, pretrained: bool) -> torch.optim.AdamW:
    head = set(head_layers(network).parameters()) if pretrained else set(network.parameters())
    new = [parameter for parameter in network.parameters() if parameter in head]
    old = [parameter for parameter in network.parameters() if parameter not in head]
    groups = [{"params": old, "full_rate": recipe.learning_rate * recipe.trunk_rate}] if old else []
    groups.append({"params": new, "full_rate": recipe.learning_rate})
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)


def _set_rates(optimiser: torch.optim.Optimizer, part: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = group["full_rate"] * part


def _rate(step: int, steps: int) -> float:
    """The part of the full rate at `step`: a linear warm-up, then half a cosine down to 0."""
    warm_up = max(1, int(steps * _WARM_UP))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _freeze(network: MammogramNetwork, recipe: TrainingRecipe, epoch: int, pretrained: bool) -> None:
    """Sets train mode for what learns in `epoch`; what is frozen also keeps the statistics of its batch norms."""
    network.train().requires_grad_(True)
    if pretrained and epoch <= recipe.head_epochs:
        network.requires_grad_(False)
        head_layers(network).requires_grad_(True)
        network.trunk.eval()
    for layer in list(network.trunk.children())[: recipe.frozen] if pretrained else []:
        layer.eval().requires_grad_(False)


def _class_weights(labels: npt.NDArray[np.int64]) -> Tensor:
    """Inverse frequencies with mean 1 over the images, so that rare classes weigh as much as frequent ones."""
    counts = np.bincount(labels, minlength=len(CLASSES))
    return torch.tensor(len(labels) / (len(CLASSES) * np.maximum(counts, 1)), dtype=torch.float32)


def _batches(images: int, recipe: TrainingRecipe, seed: int) -> list[list[npt.NDArray[np.int64]]]:
    """For every epoch the indices of every batch; from the seed alone, so that a resumed job draws the same."""
    shuffle = np.random.default_rng(seed)
    firsts = range(0, images, recipe.batch_size)
    if images > 1 and images - firsts[-1] == 1:
        firsts = firsts[:-1]  # batch norm can't learn from a single image
    orders = [shuffle.permutation(images) for _ in range(recipe.epochs)]
    return [[order[first : first + recipe.batch_size] for first in firsts] for order in orders]


def _best(epochs: list[EpochRecord]) -> EpochRecord:
    """The first one, where several are equal."""
    return max(epochs, key=lambda record: (record.validation_auc or 0.0, -record.validation_loss))


def _log_loss(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def macro_auc(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> float | None:
    """Mean one-vs-rest area under the ROC curve; None where a class has no film, or all of them."""
    if len(set(labels.tolist())) < len(CLASSES):
        return None
    return float(np.mean([roc_auc_score(labels == index, probabilities[:, index]) for index in range(len(CLASSES))]))


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise TrainingDiverged(f"the loss is not a number in epoch {epoch}; lower the recipe's learning_rate")
    return loss
