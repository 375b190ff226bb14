"""The networks: films, float32 N x 1 x S x S in [0, 1], to logits N x 3 and the last feature map.

The normalisation of ImageNet's weights (three channels, mean and deviation) is part of the network, so that it goes
wherever the weights go. Two of the networks end in `PlacesHead`: their class-activation map (Zhou et al. 2016) is
the product of its linear layer's weights with the feature map.
"""

import math
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from shared.domain.records import CLASSES, Label
from shared.modelling import torchvision_cpu  # noqa: F401  must come before torchvision
from shared.modelling.network_table import Network
from shared.modelling.recipes import LastStage, Strided

from torchvision import models  # isort: skip

_NORMAL = CLASSES.index(Label.NORMAL)
_MARK = "strided_1x1"
"""Buffer in the weights that marks strides in the 1x1 convolutions: shapes of weights don't show the strides."""

_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class MammogramNetwork(nn.Module):
    """Normalisation, a trunk that ends in a feature map N x C x h x w, and a head that ends in three logits."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(_IMAGENET_DEVIATION).view(1, 3, 1, 1))
        self.trunk = trunk
        self.head = head

    def normalise(self, films: Tensor) -> Tensor:
        """Return films as the trunk expects them, N x 3 x S x S with ImageNet's mean and deviation."""
        return (films - self.mean) / self.deviation

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits N x 3 and the last feature map."""
        features = cast("Tensor", self.trunk(self.normalise(films)))
        return cast("Tensor", self.head(features)), features


class PlacesHead(nn.Module):
    """A linear layer on every place of the feature map, pooled by log-mean-exp.

    Pooling is over the differences of each place's logits from its logit of normal. A lesion takes up a hundredth of a
    film. The mean over all places, as in ResNet, hides it; the maximum would train one place per film. The log-mean-exp
    (Pinheiro & Collobert, CVPR 2015) is the mean if the places agree and follows the maximum if one stands out. Odds
    against normal are averaged, because a film is not more normal on account of its most normal place.
    """

    def __init__(self, features: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.linear = nn.Linear(features, len(CLASSES))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits N x 3 of a feature map N x C x h x w; that of normal is 0."""
        places = self.places(features).flatten(1, 2)
        against_normal = places - places[..., _NORMAL : _NORMAL + 1]
        return against_normal.logsumexp(1) - math.log(places.shape[1])

    def places(self, features: Tensor) -> Tensor:
        """Return logits N x h x w x 3."""
        return cast("Tensor", self.linear(self.dropout(features).permute(0, 2, 3, 1)))


def build(network: Network, last_stage: LastStage = "layer4", strided: Strided = "3x3") -> MammogramNetwork:
    """Create the network with random weights from torch's current seed.

    `last_stage` and `strided` are options of ResNet-50.
    """
    return BUILDERS[network](last_stage, strided)


def trained(network: Network, weights: Mapping[str, Tensor]) -> MammogramNetwork:
    """Create the network with the given state_dict.

    ResNet-50's last stage and strides are derived from the weights.

    Raises:
        RuntimeError: the weights belong to another network.
    """
    last_stage: LastStage = "layer4" if any(name.startswith("trunk.layer4.") for name in weights) else "layer3"
    built = build(network, last_stage, "1x1" if f"trunk.{_MARK}" in weights else "3x3")
    built.load_state_dict(weights)
    return built.eval()


def _modified_cnn() -> MammogramNetwork:
    """Create the modified CNN, for few and small images; 1.35 million weights.

    | layer   | what                                              | out, of an input of S |
    | ------- | ------------------------------------------------- | --------------------- |
    | stem    | 5x5 convolution, stride 2, batch norm, ReLU       | 32 x S/2              |
    | stage 1 | residual block of two 3x3 convolutions, stride 2  | 48 x S/4              |
    | stage 2 | the same                                          | 96 x S/8              |
    | stage 3 | the same                                          | 192 x S/16            |
    | stage 4 | the same, without a stride                        | 192 x S/16            |
    | head    | dropout 0.3, linear, log-mean-exp over all places | 3                     |

    Differences from a classic small CNN (convolutions, pooling, wide dense layers): residual blocks with batch norm
    learn from scratch in a few hundred steps; strided convolutions keep a faint mass that max pooling would lose to the
    brightest pixel of the texture; a head that treats all places alike, in place of dense layers, can't memorise where
    in 322 films the lesions were, takes any input size, and gives the class-activation map. The last stage keeps its
    resolution, so that the map is fine enough to point at a lesion.
    """
    widths = (32, 48, 96, 192, 192)
    stem = nn.Sequential(
        nn.Conv2d(3, widths[0], 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
    )
    stages = [
        _ResidualBlock(before, after, stride)
        for before, after, stride in zip(widths, widths[1:], (2, 2, 2, 1), strict=False)
    ]
    return MammogramNetwork(nn.Sequential(stem, *stages), PlacesHead(widths[-1], dropout=0.3))


class _ResidualBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.body(features) + self.shortcut(features))


def _alexnet() -> MammogramNetwork:
    """Create AlexNet (Krizhevsky 2014, torchvision) with a last layer for three classes.

    It has no batch norms, and with torch's initialisation the signal fades from layer to layer: from scratch its logits
    hardly differ between films. The initialisation of He et al. 2015 ("Delving deep into rectifiers") keeps the signal.
    """
    reference = models.alexnet(weights=None)
    *hidden, last = reference.classifier
    head = nn.Sequential(
        reference.avgpool, nn.Flatten(1), nn.Sequential(*hidden, nn.Linear(last.in_features, len(CLASSES)))
    )
    network = MammogramNetwork(reference.features, head)
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer is not head_layers(network):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(cast("Tensor", layer.bias))
    return network


def _resnet50(last_stage: LastStage, strided: Strided) -> MammogramNetwork:
    """Create ResNet-50 (He et al. 2015, torchvision) with a last layer for three classes.

    Up to layer3 it is the C4 trunk of detectors (Ren et al. 2015): places of 16 pixels where layer4 has 32. The scales
    of layer3's channels differ widely, so a batch norm is added before the head.

    Weights of the paper's own release have the stride of a stage in its first 1x1 convolution, torchvision's in the 3x3
    one (known as v1.5). Their shapes are the same, but each set is correct with its own strides only.
    """
    reference = models.resnet50(weights=None)
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    trunk, features = nn.Sequential(), reference.fc.in_features
    for name in names[: names.index(last_stage) + 1]:
        trunk.add_module(name, getattr(reference, name))
    if strided == "1x1":
        trunk.register_buffer(_MARK, torch.ones(()))
        for stage in (reference.layer2, reference.layer3, reference.layer4):
            first = stage[0]
            first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride
    if last_stage == "layer3":
        features //= 2
        trunk.add_module("even", nn.BatchNorm2d(features, affine=False))
    return MammogramNetwork(trunk, PlacesHead(features))


BUILDERS: dict[str, Callable[[LastStage, Strided], MammogramNetwork]] = {
    "modified_cnn": lambda _stage, _strided: _modified_cnn(),
    "alexnet": lambda _stage, _strided: _alexnet(),
    "resnet50": _resnet50,
}
"""The builder of each network of `network_table`; last stage and strides are used by those with `staged`."""


def head_layers(network: MammogramNetwork) -> nn.Linear:
    """Return the last, linear layer, the only one that pretrained weights never fit."""
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return layers[-1]


@torch.inference_mode()
def map_edge(network: MammogramNetwork, input_size: int) -> int:
    """Return the edge of the feature map for a film of `input_size`."""
    device = network.mean.device
    _, features = network.eval()(torch.zeros(1, 1, input_size, input_size, device=device))
    return int(features.shape[-1])


def parameter_count(network: nn.Module) -> int:
    """Count the weights of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
