"""Correction of a network that was trained with class weights: its probabilities follow the class frequencies again."""

import torch

from shared.domain.arrays import Float32Array
from shared.modelling.networks import MammogramNetwork, head_layers


@torch.no_grad()
def restore_class_priors(network: MammogramNetwork, class_weights: Float32Array) -> None:
    """Subtract the logarithms of the class weights used in training (float32 3) from the logits.

    A network trained with class weights gives posterior probabilities for classes of equal weight; dividing by the
    weights gives those for the class frequencies of the training films (Saerens et al., Neural Computation 14, 2002).
    """
    bias = head_layers(network).bias
    bias.sub_(torch.from_numpy(class_weights).log().to(bias.device))
