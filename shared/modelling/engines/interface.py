"""The interface of a network that is loaded into an engine."""

from typing import NamedTuple, Protocol

from shared.domain.arrays import Float32Array
from shared.errors import ServiceUnavailable


class NetworkOutput(NamedTuple):
    """Output of the network for N films.

    Attributes:
        logits: float32, N x 3.
        features: last feature map, float32, N x C x h x w.
    """

    logits: Float32Array
    features: Float32Array


class Engine(Protocol):
    """A loaded network. `run` may be called by several threads at a time."""

    def run(self, films: Float32Array, *, alone: bool = False) -> NetworkOutput:
        """Run the network on inputs, float32 N x 1 x S x S in [0, 1].

        Args:
            alone: no other film is at work, so this one may use all cores; else it uses one.
        """
        ...


class EngineUnavailable(ServiceUnavailable):
    """The engine or this CPU can't run the network in the number format; another machine may."""

    code = "engine-unavailable"
