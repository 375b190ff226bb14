"""The training loss: cross-entropy of films, and of the places of their feature maps."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from services.train.data.batches import MiniBatch
from shared.domain.records import CLASSES
from shared.modelling.networks import MammogramNetwork, PlacesHead
from shared.modelling.recipes import TrainingRecipe


def batch_loss(
    network: MammogramNetwork,
    forward: Callable[[Tensor], tuple[Tensor, Tensor]],
    batch: MiniBatch,
    recipe: TrainingRecipe,
    class_weights: Tensor,
) -> Tensor:
    """Sum the loss over this process's share of a batch, to be divided by the weight of the whole batch.

    Args:
        network: in training.
        forward: its forward pass, perhaps in a wrapper of several processes.
        batch: this process's share of it.
        recipe: label smoothing, and the weight of the loss of places.
        class_weights: float32 3.
    """
    logits, features = forward(batch.films)
    loss = cross_entropy(logits, batch.labels, class_weights, label_smoothing=recipe.label_smoothing, reduction="sum")
    if batch.place_labels is not None:
        place_logits = cast("PlacesHead", network.head).places(features)
        loss = loss + recipe.lesion_weight * place_losses(place_logits, batch.place_labels, class_weights).sum()
    return loss


def place_losses(logits: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
    """Return the loss over the places of each film, float32 N.

    It is the weighted sum over classes of the mean cross-entropy of the places of that class.

    Args:
        logits: N x h x w x 3.
        labels: int64 N x h x w, a class index or UNKNOWN.
        class_weights: float32 3.
    """
    losses = cross_entropy(logits.flatten(0, 2), labels.clamp(min=0).flatten(), reduction="none").view(labels.shape)
    total = torch.zeros(len(labels), device=logits.device)
    for index in range(len(CLASSES)):
        of_class = labels == index
        count = of_class.sum((1, 2))
        total = total + class_weights[index] * (losses * of_class).sum((1, 2)) / count.clamp(min=1)
    return total
