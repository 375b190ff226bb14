"""Weights as safetensors documents."""

from collections.abc import Mapping

from safetensors.torch import load, save
from torch import Tensor

from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork, trained

Tensors = dict[str, Tensor]


def on_cpu(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors on the CPU and contiguous, as safetensors needs them."""
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}


def network_to_bytes(network: MammogramNetwork) -> bytes:
    """Serialise a network's weights."""
    return save(on_cpu(network.state_dict()))


def network_from_bytes(kind: Network, weights: bytes) -> MammogramNetwork:
    """Create a network with serialised weights, in evaluation mode."""
    return trained(kind, load(weights))
