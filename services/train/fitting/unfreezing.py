"""Transfer learning in stages: what the stages of a pretrained network are, and which of them learn in an epoch.

Gradual unfreezing from the top and rates that fall from stage to stage, as in Howard & Ruder 2018 (ULMFiT): the layers
next to the films are the most general ones, and 322 films are soon enough to spoil them.
"""

from torch import Tensor, nn

from shared.modelling.networks import MammogramNetwork
from shared.modelling.recipes import TrainingRecipe


class Learner(MammogramNetwork):
    """The part of a network behind its frozen stages, which takes their maps (N x C x h x w); layers are shared."""

    def __init__(self, network: MammogramNetwork, frozen: int) -> None:
        super().__init__(network.trunk[frozen:], network.head)  # type: ignore[index]  # the trunks are sequences

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(films)
        return self.head(features), features


def learning_part(network: MammogramNetwork, recipe: TrainingRecipe, *, pretrained: bool) -> MammogramNetwork:
    """What of a network learns: all of it, or what lies behind the stages that the recipe keeps frozen."""
    return Learner(network, recipe.frozen) if recipe.frozen and pretrained else network


def stages(network: MammogramNetwork) -> list[list[nn.Module]]:
    """The pretrained layers, from the top down.

    First the head's hidden layers, where it has any, then each of the trunk's children with weights; a batch norm
    belongs to the convolution before it.
    """
    *hidden, _ = [layer for layer in network.head.modules() if isinstance(layer, nn.Linear)]
    found: list[list[nn.Module]] = [list(hidden)] if hidden else []
    waiting: list[nn.Module] = []
    for layer in reversed(list(network.trunk.children())):
        waiting += [layer] if list(layer.parameters()) else []
        if any(weights.dim() > 1 for weights in layer.parameters()):
            found.append(waiting)
            waiting = []
    return found


def set_learning(network: MammogramNetwork, recipe: TrainingRecipe, epoch: int, *, pretrained: bool) -> None:
    """Sets train mode for what learns in `epoch`; what is frozen also keeps the statistics of its batch norms."""
    network.train().requires_grad_(True)
    if not pretrained:
        return
    frozen: list[nn.Module] = []
    for depth, stage in enumerate(stages(network)):
        if epoch <= recipe.head_epochs + depth * recipe.stage_epochs:
            frozen += stage
    for layer in frozen:
        layer.eval().requires_grad_(False)
