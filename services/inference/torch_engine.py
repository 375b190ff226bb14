"""Runs a published network by torch, on a GPU where there is one. Nothing else of the service imports torch.

Micro-batches without waiting for any: whoever gets the device answers all who came while it was at work.
"""

import threading
from concurrent.futures import Future

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from services.inference.engine import Answer, Floats
from shared.errors import ModelCorrupt
from shared.modelling.networks import trained
from shared.modelling.recipes import Network

MOST_AT_ONCE = 32
"""Films of a micro-batch: beyond it a GPU gains no more, and the first of them would wait for the last."""


class TorchEngine:
    """One loaded network. `run` may be called from several threads at a time."""

    def __init__(self, kind: Network, weights: bytes, threads: int) -> None:
        """Loads safetensors `weights`; `threads` counts where there is no GPU. Raises ModelCorrupt."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._device.type == "cpu":
            torch.set_num_threads(threads)
        try:
            network = trained(kind, load(weights))
        except (SafetensorError, RuntimeError) as error:
            raise ModelCorrupt(f"the weights are not those of {kind}; publish the model again") from error
        layout = torch.channels_last
        self._network = network.to(self._device, memory_format=layout)  # type: ignore[call-overload]
        self._at_device = threading.Lock()
        self._counting = threading.Lock()
        self._waiting: list[tuple[Floats, Future[Answer]]] = []

    def run(self, films: Floats, *, alone: bool = False) -> Answer:  # noqa: ARG002  a device is always shared
        """The answer to network inputs, float32 N x 1 x S x S in [0, 1]."""
        mine: Future[Answer] = Future()
        with self._counting:
            self._waiting.append((films, mine))
        with self._at_device:
            while not mine.done():
                self._answer_together()
        return mine.result()

    def logits(self, films: Floats) -> Floats:
        """Float32 N x 3."""
        return self.run(films).logits

    def _answer_together(self) -> None:
        with self._counting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        try:
            answer = self._forward(np.concatenate([films for films, _ in batch]))
        except Exception as error:  # noqa: BLE001  each of them is told; none is left waiting
            for _, asked in batch:
                asked.set_exception(error)
            return
        end = 0
        for films, asked in batch:
            start, end = end, end + len(films)
            asked.set_result(Answer(answer.logits[start:end], answer.features[start:end]))

    def _forward(self, films: Floats) -> Answer:
        with torch.inference_mode():
            logits, features = self._network(torch.from_numpy(films).to(self._device))
            return Answer(logits.float().cpu().numpy(), features.float().cpu().numpy())
