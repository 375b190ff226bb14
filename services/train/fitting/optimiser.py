"""AdamW with a rate for each stage of a network, the schedule of the rates, and the bound of the gradient."""

import math

import torch
from torch import nn

from services.train.fitting.unfreezing import stages
from shared.modelling.networks import MammogramNetwork, head_layers
from shared.modelling.recipes import TrainingRecipe

_WARM_UP = 0.1
_CLIP_NORM = 5.0


def adamw(network: MammogramNetwork, recipe: TrainingRecipe, *, pretrained: bool) -> torch.optim.AdamW:
    """Its groups carry their `full_rate`, which `set_rates` takes a part of. From scratch all layers have the same."""
    if not pretrained:
        groups: list[dict[str, object]] = [{"params": list(network.parameters()), "full_rate": recipe.learning_rate}]
    else:
        groups = [{"params": list(head_layers(network).parameters()), "full_rate": recipe.learning_rate}]
        rate = recipe.learning_rate * recipe.trunk_rate
        for stage in stages(network):
            parameters = [weights for layer in stage for weights in layer.parameters()]
            groups.append({"params": parameters, "full_rate": rate})
            rate *= recipe.stage_rate
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)


def set_rates(optimiser: torch.optim.Optimizer, part: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = group["full_rate"] * part


def part_of_rate(step: int, steps: int) -> float:
    """The part of the full rate at `step`: a linear warm-up, then half a cosine down to 0."""
    warm_up = max(1, int(steps * _WARM_UP))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def clip(network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Has the next step take a gradient with a norm of `_CLIP_NORM` at most.

    The fused step divides by `grad_scale` as it reads the gradient. Scaling it here would be one more pass over all
    weights, of which AlexNet has 57 million.
    """
    norm = nn.utils.get_total_norm(weights.grad for weights in network.parameters() if weights.grad is not None)
    optimiser.grad_scale = (norm / _CLIP_NORM).clamp_(min=1)  # type: ignore[attr-defined]
