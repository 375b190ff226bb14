"""What depends on the device that trains: number formats, compiling, and where the examples lie."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from shared.domain.arrays import Float32Array
from shared.modelling.recipes import Precision

Indices = npt.NDArray[np.int64]
Inputs = Float32Array | npt.NDArray[np.float16]
Batch = Callable[[Indices], Inputs]
"""From the numbers of examples (n) to their inputs (n x C x S x S)."""

_COMPILED_ON = ("cuda",)
"""On a CPU compiling takes longer than most jobs and gains nothing that channels-last has not."""

_SHARE_OF_MEMORY = 0.5
_CHUNK = 256


def prepared(threads: int, *, deterministic: bool) -> torch.device:
    """A GPU where there is one, else the CPU with as many threads; torch is set up for it.

    The CPU always gives the same bits again. A GPU does so where it is asked to be `deterministic`, and takes longer.
    """
    gpu = torch.cuda.is_available()
    torch.use_deterministic_algorithms(deterministic or not gpu, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing here reads what it has not written
    torch.set_num_threads(threads)
    if not gpu:
        return torch.device("cpu")
    torch.backends.cudnn.benchmark = not deterministic  # all batches but the last are of one size
    return torch.device("cuda", torch.cuda.current_device())


def number_format(precision: Precision, device: torch.device) -> torch.dtype:
    """What matrix products and convolutions are computed in: `auto` is bfloat16 on a GPU that has it, else float32."""
    if precision == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context in which a network goes forward. bfloat16 has float32's range, so the loss needs no scaling."""
    numbers = number_format(precision, device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=numbers == torch.bfloat16)


def compile_where_it_pays(
    network: nn.Module, device: torch.device, backend: str | Callable[..., object] = "inductor"
) -> None:
    """Has torch compile `network` on its first batch; what can't be compiled runs as it is, and torch warns."""
    if device.type in _COMPILED_ON:
        torch._dynamo.config.suppress_errors = True
        network.compile(backend=backend)


def supply(batch: Batch, count: int, device: torch.device) -> Callable[[Indices], Tensor]:
    """How inputs (float32 n x C x S x S) get to `device` by their numbers (n), of `count` that `batch` knows.

    A GPU holds all of them where they fit into half of its free memory; otherwise, and on the CPU, they come batch by
    batch.
    """
    if device.type != "cuda":
        return streamed(batch, device)
    free, _ = torch.cuda.mem_get_info(device)
    fits = batch(np.arange(1)).nbytes * count <= free * _SHARE_OF_MEMORY
    return resident(batch, count, device) if fits else streamed(batch, device)


def resident(batch: Batch, count: int, device: torch.device) -> Callable[[Indices], Tensor]:
    """All inputs are sent to `device` at once."""
    held = torch.empty((count, *batch(np.arange(1)).shape[1:]), device=device)
    for first in range(0, count, _CHUNK):
        held[first : first + _CHUNK] = torch.from_numpy(batch(np.arange(first, min(first + _CHUNK, count))))
    return lambda chosen: held[torch.from_numpy(chosen).to(device)]


def streamed(batch: Batch, device: torch.device) -> Callable[[Indices], Tensor]:
    """Inputs are sent as they are needed; a GPU takes them from pinned memory while it is still at the last batch."""
    if device.type != "cuda":
        return lambda chosen: torch.from_numpy(batch(chosen)).to(device, torch.float32)
    return lambda chosen: torch.from_numpy(batch(chosen)).pin_memory().to(device, torch.float32, non_blocking=True)
