"""The processes that train one network together, started by torchrun: each takes a share of every batch.

Shares add up to the whole batch: sums of the loss are divided by the weight of the whole batch, and gradients are
averaged. Batch norms take their statistics from the whole batch on GPUs, and from a process's share on CPUs, because
torch has no synchronised batch norm for CPUs.
"""

import gc
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from shared.domain.arrays import Int64Array


@dataclass(frozen=True)
class ProcessGroup:
    """This process's `rank` among `size` processes; above 1, torch's default process group has been initialised."""

    rank: int = 0
    size: int = 1

    def own_indices(self, images: int) -> Int64Array:
        """Return this process's indices in a batch of `images`; shares differ by at most one image."""
        return np.arange(self.rank, images, self.size)

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Wrap the network so that its gradients are averaged over all processes.

        Call it again whenever parameters are frozen or unfrozen.
        """
        if self.size == 1:
            return network
        gc.collect()  # removes the hooks of the previous wrapper
        ids = [device] if device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids, gradient_as_bucket_view=True)

    def sum(self, values: Tensor) -> Tensor:
        """Add up the values of all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Return True if `flag` is set in any process; exchanged on the CPU, so that no process waits for a GPU."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor(int(flag))) > 0)


SINGLE_PROCESS = ProcessGroup()
