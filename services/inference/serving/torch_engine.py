"""Run a published network with torch, on a GPU if available.

No other module of the service imports torch.
"""

import threading
from collections.abc import Callable
from functools import partial

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from services.inference.admission.batching import MicroBatcher, NetworkOutput
from shared.domain.arrays import Float32Array
from shared.errors import ModelCorrupt
from shared.modelling.network_table import Network
from shared.modelling.networks import trained

MOST_AT_ONCE = 32
"""Films of a micro-batch: beyond it a GPU gains no more, and the first of them would wait for the last."""


class TorchEngine:
    """One loaded network. `run` may be called from several threads at a time."""

    def __init__(self, kind: Network, weights: bytes, threads: int) -> None:
        """Load safetensors `weights`; `threads` films are prepared at a time.

        Without a GPU torch uses as many threads.

        Raises:
            ModelCorrupt: the weights don't fit the network.
        """
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cpu":
            torch.set_num_threads(threads)
        try:
            network = trained(kind, load(weights))
        except (SafetensorError, RuntimeError) as error:
            raise ModelCorrupt(f"the weights don't fit {kind}; publish the model again") from error
        layout = torch.channels_last
        network = network.to(device, memory_format=layout)  # type: ignore[call-overload]
        self._preparing = threading.BoundedSemaphore(threads)
        self._batcher = MicroBatcher(partial(_forward, network, device), 1, MOST_AT_ONCE)

    def run(self, films: Float32Array, *, alone: bool = False) -> NetworkOutput:  # noqa: ARG002  a device is always shared
        """Run the network on inputs, float32 N x 1 x S x S in [0, 1]."""
        return self._batcher.run(films)

    def run_prepared(self, prepare: Callable[[], Float32Array], *, alone: bool = False) -> NetworkOutput:
        """Run the network on the films that `prepare` makes.

        Errors of `prepare` are passed on.
        """
        with self._preparing:
            films = prepare()
        return self.run(films, alone=alone)

    def logits(self, films: Float32Array) -> Float32Array:
        """Float32 N x 3."""
        return self.run(films).logits


def _forward(network: torch.nn.Module, device: torch.device, films: Float32Array) -> NetworkOutput:
    with torch.inference_mode():
        logits, features = network(torch.from_numpy(films).to(device))
        return NetworkOutput(logits.float().cpu().numpy(), features.float().cpu().numpy())
