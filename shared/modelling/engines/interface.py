"""The interface of a network that is loaded into an engine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from shared.digests import sha256_hex
from shared.domain.arrays import Float32Array
from shared.errors import ServiceUnavailable


@dataclass(frozen=True)
class Graph:
    """A network in the ONNX format: the SHA-256 of its content, which is not read where a compiled network is kept."""

    sha256: str
    read: Callable[[], bytes]

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Describe a graph that is in memory."""
        return cls(sha256_hex(content), lambda: content)


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
