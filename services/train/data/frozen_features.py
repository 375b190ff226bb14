"""Feature maps of a network's frozen stages, computed once instead of in every epoch.

The rest of the network (`unfreezing.NetworkTail`) learns from them: a fraction of the computation, and the same weights
up to the rounding of the maps to float16.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from services.train.data.array_cache import array_in_cache, cached_array
from services.train.data.inputs import RunImages
from shared.domain.arrays import Float32Array
from shared.errors import JobInterrupted
from shared.modelling.networks import MammogramNetwork

FeatureMaps = npt.NDArray[np.float16]
_BATCH = 16


def frozen_feature_maps(
    network: MammogramNetwork, frozen: int, images: RunImages, device: torch.device, stopping: Callable[[], bool]
) -> FeatureMaps:
    """Compute the output of the trunk's first `frozen` stages for all images (float16 N x C x h x w, memory-mapped).

    `stopping` is called after every batch.

    Raises:
        JobInterrupted: `stopping` returned True; no partial array is kept.
    """
    stages = _frozen_stages(network, frozen, images, device)

    def rows() -> Iterator[FeatureMaps]:
        for start in range(0, len(images.inputs), _BATCH):
            yield from stages.maps(images.read(np.arange(start, min(start + _BATCH, len(images.inputs)))))
            if stopping():
                raise JobInterrupted("stopped during the computation of frozen features; run again, it starts over")

    return cached_array(stages.name, stages.shape, rows, np.float16)


def maps_in_cache(
    network: MammogramNetwork, frozen: int, images: RunImages, device: torch.device
) -> FeatureMaps | None:
    """Return what `frozen_feature_maps` has computed on this machine before; None if it is not there."""
    stages = _frozen_stages(network, frozen, images, device)
    return array_in_cache(stages.name, stages.shape, np.float16)


class _FrozenStages(NamedTuple):
    """The first stages of a network: the function of films that they are, and the array of their maps of all images."""

    maps: Callable[[Float32Array], FeatureMaps]
    name: str
    shape: tuple[int, ...]


def _frozen_stages(network: MammogramNetwork, frozen: int, images: RunImages, device: torch.device) -> _FrozenStages:
    network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # a third faster
    stages: nn.Module = network.trunk[:frozen]  # type: ignore[index]

    @torch.inference_mode()
    def maps(films: Float32Array) -> FeatureMaps:
        inputs = network.normalise(torch.from_numpy(np.array(films)).to(device))
        features = stages(inputs.contiguous(memory_format=torch.channels_last))
        return np.asarray(features.to("cpu", torch.float16).numpy())

    shape = (len(images.inputs), *maps(images.read(np.arange(1))).shape[1:])
    return _FrozenStages(maps, f"{images.cache_key}-{_digest(stages)}", shape)


def _digest(stages: nn.Module) -> str:
    """Return a digest of the layers with their strides, weights and statistics."""
    digest = hashlib.sha256(repr(stages).encode())
    for name, tensor in stages.state_dict().items():
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
