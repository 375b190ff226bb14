"""Predictions of a network in training."""

import numpy as np
import torch

from services.train.data.examples import Examples
from shared.domain.arrays import Float64Array
from shared.domain.records import CLASSES
from shared.modelling.networks import MammogramNetwork


@torch.inference_mode()
def predict(network: MammogramNetwork, examples: Examples, batch_size: int, device: torch.device) -> Float64Array:
    """Compute class probabilities, float64 N x 3; each row sums to 1. One batch is in memory at a time."""
    network.eval()
    indices = np.arange(len(examples.labels))
    batches = [
        network(torch.from_numpy(examples.read(indices[start : start + batch_size])).to(device, torch.float32))[0]
        .double()
        .softmax(1)
        .cpu()
        .numpy()
        for start in range(0, len(indices), batch_size)
    ]
    return np.concatenate(batches) if batches else np.empty((0, len(CLASSES)))
