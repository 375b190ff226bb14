"""Device-dependent parts of training: set-up, arithmetic, compilation, and transfer of the inputs."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from shared.cpu import has_amx
from shared.domain.arrays import Float32Array, Int64Array
from shared.modelling.recipes import Precision, TrainingFormat

Indices = Int64Array
Inputs = Float32Array | npt.NDArray[np.float16]
InputReader = Callable[[Indices], Inputs]
"""Reads the inputs (n x C x S x S) of examples by their indices (n)."""

InputLoader = Callable[[Indices], Tensor]
"""Reads the inputs of examples as a float32 tensor on the device."""

_COMPILED_ON = ("cuda",)
"""On a CPU, compilation takes longer than most jobs and is no faster than channels-last."""

_SHARE_OF_MEMORY = 0.5
_CHUNK = 256


def prepare_device(threads: int, *, deterministic: bool) -> torch.device:
    """Set torch up for a GPU if there is one, otherwise for `threads` threads of the CPU.

    Results on the CPU are always bit-identical; on a GPU only if `deterministic`, which is slower.
    """
    gpu = torch.cuda.is_available()
    torch.use_deterministic_algorithms(deterministic or not gpu, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # no uninitialised memory is read here
    torch.set_num_threads(threads)
    if not gpu:
        return torch.device("cpu")
    torch.backends.cudnn.benchmark = not deterministic  # all batches but the last have the same size
    return torch.device("cuda", torch.cuda.current_device())


def training_format(precision: Precision, device: torch.device) -> TrainingFormat:
    """Return the number format of matrix products and convolutions.

    `auto` is bfloat16 on a GPU with native support and on a CPU with AMX, otherwise float32: a CPU with instructions
    for vectors of bfloat16 alone trains slower in it (`make bench-training BASE=COMMIT`).
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if has_amx() else "float32"


def autocast(number_format: TrainingFormat, device: torch.device) -> torch.autocast:
    """Create the context of the forward pass; bfloat16 has the range of float32, so the loss is not scaled."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=number_format == "bfloat16")


def compile_on_gpu(network: nn.Module, device: torch.device, backend: str | Callable[..., object] = "inductor") -> None:
    """Compile the network at its first batch if `device` is a GPU.

    Parts that can't be compiled run uncompiled; torch logs a warning.
    """
    if device.type in _COMPILED_ON:
        torch._dynamo.config.suppress_errors = True
        network.compile(backend=backend)


def input_loader(read: InputReader, count: int, device: torch.device) -> InputLoader:
    """Return a loader of `count` inputs: resident on a GPU if they fit into half of its free memory, else streamed."""
    if device.type != "cuda":
        return streamed_inputs(read, device)
    free, _ = torch.cuda.mem_get_info(device)
    fits = read(np.arange(1)).nbytes * count <= free * _SHARE_OF_MEMORY
    return resident_inputs(read, count, device) if fits else streamed_inputs(read, device)


def resident_inputs(read: InputReader, count: int, device: torch.device) -> InputLoader:
    """Copy all inputs to the device now."""
    resident = torch.empty((count, *read(np.arange(1)).shape[1:]), device=device)
    for start in range(0, count, _CHUNK):
        resident[start : start + _CHUNK] = torch.from_numpy(read(np.arange(start, min(start + _CHUNK, count))))
    return lambda indices: resident[torch.from_numpy(indices).to(device)]


def streamed_inputs(read: InputReader, device: torch.device) -> InputLoader:
    """Copy inputs batch by batch; to a GPU from pinned memory, while it still computes the previous batch."""
    if device.type != "cuda":
        return lambda indices: torch.from_numpy(read(indices)).to(device, torch.float32)
    return lambda indices: torch.from_numpy(read(indices)).pin_memory().to(device, torch.float32, non_blocking=True)
