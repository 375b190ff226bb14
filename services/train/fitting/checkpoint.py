"""Checkpoints: the state of a training job between two batches, from which it resumes to the same weights.

A checkpoint is stored as one safetensors document, so that reading one never runs code. Its metadata are the progress,
the identity of the job, and a checksum, because safetensors itself does not detect a wrong bit in a tensor.
"""

import json
import zlib
from dataclasses import dataclass

import torch
from pydantic import Field, FiniteFloat, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from services.train.fitting.serialise import Tensors, on_cpu
from shared.domain.records import Record
from shared.errors import MammoError
from shared.modelling.evaluation import EpochRecord
from shared.modelling.recipes import TrainingFormat


class CheckpointUnusable(MammoError):
    """A checkpoint is damaged, or belongs to another job."""

    code = "checkpoint-unusable"


class TrainingProgress(Record):
    """The epochs and batches that a job has done."""

    epochs: tuple[EpochRecord, ...] = ()
    losses: tuple[FiniteFloat, ...] = Field((), description="of the batches done in the current epoch")
    seconds: float = Field(0.0, description="spent on those batches")
    number_format: TrainingFormat | None = Field(None, description="None: a checkpoint from before it was written down")


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training job.

    Keys of `optimiser` are `<parameter>.<moment>`; parameters that were always frozen have none. `best` are the weights
    of the best epoch, empty if they are those of `network`. There is no state of random generators: the random numbers
    of a batch follow from the seed and its number.
    """

    progress: TrainingProgress
    network: Tensors
    optimiser: Tensors
    best: Tensors


def capture(
    network: nn.Module, optimiser: torch.optim.Optimizer, best: Tensors, progress: TrainingProgress
) -> Checkpoint:
    """Create a checkpoint that shares its tensors with network and optimiser: use it before the next batch."""
    moments = {
        f"{name}.{moment}": tensor
        for name, parameter in network.named_parameters()
        for moment, tensor in optimiser.state.get(parameter, {}).items()
    }
    return Checkpoint(progress, network.state_dict(), moments, best)


def restore(checkpoint: Checkpoint, network: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device) -> None:
    """Copy the checkpoint's tensors into `network` and a new `optimiser`.

    A job may resume on another kind of device, but the weights are then not bit-identical.
    """
    network.load_state_dict(checkpoint.network)
    parameters = dict(network.named_parameters())
    for key, tensor in checkpoint.optimiser.items():
        name, _, moment = key.rpartition(".")
        parameter = parameters[name]
        state = torch.empty_like(parameter if tensor.dim() else tensor, dtype=tensor.dtype, device=device)
        optimiser.state[parameter][moment] = state.copy_(tensor)  # in the memory format of the parameter


def to_bytes(checkpoint: Checkpoint, identity: str) -> bytes:
    """Serialise a checkpoint; `identity` is a digest of the job's recipe, seed, data and network."""
    parts = {"network": checkpoint.network, "optimiser": checkpoint.optimiser, "best": checkpoint.best}
    tensors = on_cpu({f"{part}/{name}": tensor for part in parts for name, tensor in parts[part].items()})
    progress = checkpoint.progress.model_dump_json()
    metadata = {"identity": identity, "progress": progress, "checksum": _checksum(progress, tensors)}
    return save(tensors, metadata)


def from_bytes(data: bytes, identity: str) -> Checkpoint:
    """Read a serialised checkpoint.

    Raises:
        CheckpointUnusable: it is damaged, or belongs to a job with another identity.
    """
    try:
        tensors = load(data)
        metadata = _metadata(data)
        progress = TrainingProgress.model_validate_json(metadata["progress"], extra="ignore")
        checksum, owner = metadata["checksum"], metadata["identity"]
    except (SafetensorError, KeyError, ValidationError) as error:
        raise CheckpointUnusable("the checkpoint is incomplete; delete it to restart the job") from error
    if checksum != _checksum(metadata["progress"], tensors):
        raise CheckpointUnusable("the checkpoint is damaged; delete it to restart the job")
    if owner != identity:
        raise CheckpointUnusable("the checkpoint belongs to another recipe, seed, data set or network; restart the job")
    parts: dict[str, Tensors] = {"network": {}, "optimiser": {}, "best": {}}
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        parts[part][name] = tensor
    return Checkpoint(progress, **parts)


def _metadata(document: bytes) -> dict[str, str]:
    """Read the metadata of a valid document: 8 bytes with the header's length, little-endian, then a JSON header."""
    length = int.from_bytes(document[:8], "little")
    metadata: dict[str, str] = json.loads(document[8 : 8 + length])["__metadata__"]
    return metadata


def _checksum(progress: str, tensors: Tensors) -> str:
    """Compute the CRC-32 of the progress and of every tensor with its name, dtype and shape."""
    checksum = zlib.crc32(progress.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        checksum = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), checksum)
        checksum = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"
