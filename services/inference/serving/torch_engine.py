"""Run a published network with torch, on a GPU if available.

No other module of the service imports torch.
"""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from shared.domain.arrays import Float32Array
from shared.errors import ModelCorrupt
from shared.modelling.engines.interface import NetworkOutput
from shared.modelling.network_table import Network
from shared.modelling.networks import trained

MOST_AT_ONCE = 32
"""Films of a micro-batch: beyond it a GPU gains no more, and the first of them would wait for the last."""


@dataclass(eq=False)
class _Call:
    """The films of a call, and their output or the error once they have gone through the network."""

    films: Float32Array
    output: NetworkOutput | None = None
    error: Exception | None = None


class TorchEngine:
    """One loaded network. `run` may be called by several threads at a time.

    The thread that gets the device takes along the films of all that wait for it, without waiting for more.
    """

    def __init__(self, kind: Network, weights: bytes, threads: int) -> None:
        """Load safetensors `weights`; without a GPU torch uses as many threads.

        Raises:
            ModelCorrupt: the weights don't fit the network.
        """
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._device.type == "cpu":
            torch.set_num_threads(threads)
        try:
            network = trained(kind, load(weights))
        except (SafetensorError, RuntimeError) as error:
            raise ModelCorrupt(f"the weights don't fit {kind}; publish the model again") from error
        layout = torch.channels_last
        self._network = network.to(self._device, memory_format=layout)  # type: ignore[call-overload]
        self._device_lock = threading.Lock()
        self._waiting: deque[_Call] = deque()

    def run(self, films: Float32Array, *, alone: bool = False) -> NetworkOutput:  # noqa: ARG002  a device is always shared
        """Run the network on films; see `Engine`. Errors of torch are passed on to all whose films went along."""
        mine = _Call(films)
        self._waiting.append(mine)
        while mine.output is None and mine.error is None:
            with self._device_lock:
                if mine.output is None and mine.error is None:
                    self._answer([self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))])
        if mine.error is not None:
            raise mine.error
        assert mine.output is not None  # noqa: S101  it is there where no error is
        return mine.output

    def _answer(self, calls: list[_Call]) -> None:
        """Run the network on the films of several calls."""
        try:
            output = self._forward(np.concatenate([call.films for call in calls]))
        except Exception as error:  # noqa: BLE001  each of them gets it; none is left waiting
            for call in calls:
                call.error = error
            return
        end = 0
        for call in calls:
            start, end = end, end + len(call.films)
            call.output = NetworkOutput(output.logits[start:end], output.features[start:end])

    @torch.inference_mode()
    def _forward(self, films: Float32Array) -> NetworkOutput:
        logits, features = self._network(torch.from_numpy(films).to(self._device))
        return NetworkOutput(logits.float().cpu().numpy(), features.float().cpu().numpy())
