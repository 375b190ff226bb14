"""The processes that train one network together, as torchrun started them: each has a rank and a share of every batch.

What each computes adds up to what one process would get from the whole batch: sums of the loss are divided by the
batch's own weight, and gradients are averaged. Statistics of batch norms are those of the whole batch on GPUs, and of
a rank's share on CPUs, where torch has no such thing.
"""

import gc
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Ranks:
    """This process's `rank` among `count`; where they are several, torch's default process group is theirs."""

    rank: int = 0
    count: int = 1

    def share(self, images: int) -> npt.NDArray[np.int64]:
        """The places in a batch of so many images of those that are this rank's, n; shares differ by one at most."""
        return np.arange(self.rank, images, self.count)

    def together(self, network: nn.Module, device: torch.device) -> nn.Module:
        """`network` so that its gradients become the mean of all ranks'. What learns must be set, and stay until the
        next call."""
        if self.count == 1:
            return network
        gc.collect()  # the last wrapper's hooks go with it
        ids = [device] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids, gradient_as_bucket_view=True)

    def added(self, values: Tensor) -> Tensor:
        """The sum over all ranks, on each of them."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether one of the ranks says so; it goes by the CPU, so that no GPU is waited for."""
        if self.count == 1:
            return flag
        return bool(self.added(torch.tensor(int(flag))) > 0)


ALONE = Ranks()
