"""AdamW with a learning rate for each stage, the schedule of the rates, and gradient clipping."""

import math

import torch
from torch import nn

from services.train.fitting.unfreezing import unfreezing_stages
from shared.modelling.networks import MammogramNetwork, head_layers
from shared.modelling.recipes import TrainingRecipe

_WARM_UP = 0.1
_CLIP_NORM = 5.0


def adamw(network: MammogramNetwork, recipe: TrainingRecipe, *, pretrained: bool) -> torch.optim.AdamW:
    """Create the optimiser; from scratch, all layers have the same rate.

    Each parameter group has a `full_rate`, which `set_learning_rates` scales.
    """
    if not pretrained:
        groups: list[dict[str, object]] = [{"params": list(network.parameters()), "full_rate": recipe.learning_rate}]
    else:
        groups = [{"params": list(head_layers(network).parameters()), "full_rate": recipe.learning_rate}]
        rate = recipe.learning_rate * recipe.trunk_rate
        for stage in unfreezing_stages(network):
            parameters = [weights for layer in stage for weights in layer.parameters()]
            groups.append({"params": parameters, "full_rate": rate})
            rate *= recipe.stage_rate
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)


def set_learning_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set the rate of each group to `factor` times its full rate."""
    for group in optimiser.param_groups:
        group["lr"] = group["full_rate"] * factor


def learning_rate_factor(step: int, steps: int) -> float:
    """Return the factor of the full rate at `step`: linear warm-up, then half a cosine down to 0."""
    warm_up = max(1, int(steps * _WARM_UP))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def clip_gradient(network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Limit the norm of the gradient in the next step to `_CLIP_NORM`.

    The fused step divides by `grad_scale` while it reads the gradient. Scaling the gradient here would be one more pass
    over all weights, of which AlexNet has 57 million.
    """
    norm = nn.utils.get_total_norm(weights.grad for weights in network.parameters() if weights.grad is not None)
    optimiser.grad_scale = (norm / _CLIP_NORM).clamp_(min=1)  # type: ignore[attr-defined]
