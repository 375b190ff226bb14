"""Transfer learning in stages: the stages of a pretrained network, and which of them are trained in an epoch.

Gradual unfreezing from the top and rates that fall from stage to stage, as in Howard & Ruder 2018 (ULMFiT): the first
layers are the most general ones, and 322 films are enough to spoil them.
"""

from torch import Tensor, nn

from shared.modelling.networks import MammogramNetwork
from shared.modelling.recipes import TrainingRecipe


class NetworkTail(MammogramNetwork):
    """The part of a network behind its frozen stages: feature maps (N x C x h x w) in; shares the network's layers."""

    def __init__(self, network: MammogramNetwork, frozen: int) -> None:
        super().__init__(network.trunk[frozen:], network.head)  # type: ignore[index]  # the trunks are sequences

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and the last feature map, like the whole network, from the maps of the frozen stages."""
        features = self.trunk(films)
        return self.head(features), features


def trainable_part(network: MammogramNetwork, recipe: TrainingRecipe, *, pretrained: bool) -> MammogramNetwork:
    """Return the network itself, or the part behind the stages that the recipe keeps frozen."""
    return NetworkTail(network, recipe.frozen) if recipe.frozen and pretrained else network


def unfreezing_stages(network: MammogramNetwork) -> list[list[nn.Module]]:
    """Return the stages of pretrained layers, from the top down.

    First the head's hidden layers, if it has any, then each of the trunk's children with weights; a batch norm belongs
    to the convolution before it.
    """
    *hidden, _ = [layer for layer in network.head.modules() if isinstance(layer, nn.Linear)]
    stages: list[list[nn.Module]] = [list(hidden)] if hidden else []
    stage: list[nn.Module] = []
    for layer in reversed(list(network.trunk.children())):
        stage += [layer] if list(layer.parameters()) else []
        if any(weights.dim() > 1 for weights in layer.parameters()):
            stages.append(stage)
            stage = []
    return stages


def set_trainable(network: MammogramNetwork, recipe: TrainingRecipe, epoch: int, *, pretrained: bool) -> None:
    """Set train mode and gradients for the layers trained in `epoch`; frozen batch norms keep their statistics."""
    network.train().requires_grad_(True)
    if not pretrained:
        return
    frozen: list[nn.Module] = []
    for depth, stage in enumerate(unfreezing_stages(network)):
        if epoch <= recipe.head_epochs + depth * recipe.stage_epochs:
            frozen += stage
    for layer in frozen:
        layer.eval().requires_grad_(False)
