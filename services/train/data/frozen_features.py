"""What the frozen stages of a network make of films is worked out once, not again in every epoch.

The rest of the network (`unfreezing.Learner`) then learns from their maps: a fraction of the work, and the same weights
as if the films had gone all the way each time.
"""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from services.train.data.array_cache import filled
from services.train.data.inputs import Images
from shared.domain.arrays import Float32Array
from shared.errors import JobInterrupted
from shared.modelling.networks import MammogramNetwork

Maps = npt.NDArray[np.float16]
_BATCH = 16


def frozen_maps(
    network: MammogramNetwork, frozen: int, images: Images, device: torch.device, stopping: Callable[[], bool]
) -> Maps:
    """What the trunk's first `frozen` stages make of all images (float16 N x C x h x w), as one memory-mapped array.

    `stopping` is asked after every batch.

    Raises:
        JobInterrupted: it said yes; nothing is left behind.
    """
    network = network.to(device).eval()
    stages: nn.Module = network.trunk[:frozen]  # type: ignore[index]

    @torch.inference_mode()
    def maps(films: Float32Array) -> Maps:
        given = stages((torch.from_numpy(np.array(films)).to(device) - network.mean) / network.deviation)
        return np.asarray(given.to("cpu", torch.float16).numpy())

    def rows() -> Iterator[Maps]:
        for first in range(0, len(images.inputs), _BATCH):
            yield from maps(images.inputs[first : first + _BATCH])
            if stopping():
                raise JobInterrupted("stopped during the computation of frozen features; run again, it starts over")

    shape = (len(images.inputs), *maps(images.inputs[:1]).shape[1:])
    return filled(f"{images.name}-{_digest(stages)}", shape, rows, np.float16)


def _digest(stages: nn.Module) -> str:
    """Of all layers with their strides, weights and statistics."""
    digest = hashlib.sha256(repr(stages).encode())
    for name, tensor in stages.state_dict().items():
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
