"""A network's weights as the bytes of a safetensors file, and back."""

from safetensors.torch import load, save

from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork, trained


def network_to_bytes(network: MammogramNetwork) -> bytes:
    return save({name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()})


def network_from_bytes(kind: Network, weights: bytes) -> MammogramNetwork:
    return trained(kind, load(weights))
