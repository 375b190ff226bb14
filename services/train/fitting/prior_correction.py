"""Classes weigh the same in training, however rare they are; what is served has to know again how rare they are."""

import torch

from shared.domain.arrays import Float32Array
from shared.modelling.networks import MammogramNetwork, head_layers


@torch.no_grad()
def restore_shares(network: MammogramNetwork, weights: Float32Array) -> None:
    """Takes the logarithms of the class weights that a network was trained with (float32 3) off its logits.

    A network that learned from weighted classes gives the probabilities of a world in which they are weighted so;
    dividing by the weights gives those of the training films (Saerens et al., Neural Computation 14, 2002).
    """
    bias = head_layers(network).bias
    bias.sub_(torch.from_numpy(weights).log().to(bias.device))
