"""The state of a training job between two batches: all that it takes to go on to the very same weights.

As bytes it is one safetensors document, so that reading one never runs code. Its metadata hold the progress, the
identity of the job, and a checksum: safetensors itself doesn't notice a tensor with a wrong bit.
"""

import json
import zlib
from dataclasses import dataclass

import torch
from pydantic import Field, FiniteFloat, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from shared.domain.records import Record
from shared.errors import MammoError
from shared.modelling.evaluation import EpochRecord

Tensors = dict[str, Tensor]


class CheckpointUnusable(MammoError):
    """A checkpoint is damaged, or another job's."""

    code = "checkpoint-unusable"


class Progress(Record):
    """How far a job has come; the batches, the step and the best epoch follow from it."""

    epochs: tuple[EpochRecord, ...] = ()
    losses: tuple[FiniteFloat, ...] = Field((), description="of the batches done in the epoch that has begun")
    seconds: float = Field(0.0, description="spent on those batches")


@dataclass(frozen=True)
class Checkpoint:
    """`optimiser` names its tensors `<parameter>.<moment>`; a parameter that never learned has none.

    `best` holds the weights of the best epoch; it is empty where those are the network's own. There is no state of
    random generators: what a batch draws follows from the seed and its number.
    """

    progress: Progress
    network: Tensors
    optimiser: Tensors
    best: Tensors


def capture(network: nn.Module, optimiser: torch.optim.Optimizer, best: Tensors, progress: Progress) -> Checkpoint:
    """The tensors are those that go on learning, not copies: use the checkpoint before the next batch."""
    moments = {
        f"{name}.{moment}": tensor
        for name, parameter in network.named_parameters()
        for moment, tensor in optimiser.state.get(parameter, {}).items()
    }
    return Checkpoint(progress, network.state_dict(), moments, best)


def restore(checkpoint: Checkpoint, network: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device) -> None:
    """Puts copies of the checkpoint's tensors into `network` and a new `optimiser`.

    A job that has moved between CPU and GPU goes on too, though not to the same bits.
    """
    network.load_state_dict(checkpoint.network)
    parameters = dict(network.named_parameters())
    for key, tensor in checkpoint.optimiser.items():
        name, _, moment = key.rpartition(".")
        parameter = parameters[name]
        place = torch.empty_like(parameter if tensor.dim() else tensor, dtype=tensor.dtype, device=device)
        optimiser.state[parameter][moment] = place.copy_(tensor)  # in memory as the parameter itself is laid out


def to_bytes(checkpoint: Checkpoint, identity: str) -> bytes:
    """`identity` tells the job from others: a digest of its recipe, seed, data and network."""
    parts = {
        "network": checkpoint.network,
        "optimiser": checkpoint.optimiser,
        "best": checkpoint.best,
    }
    tensors = {f"{part}/{name}": tensor.cpu().contiguous() for part in parts for name, tensor in parts[part].items()}
    progress = checkpoint.progress.model_dump_json()
    metadata = {"identity": identity, "progress": progress, "checksum": _checksum(progress, tensors)}
    return save(tensors, metadata)


def from_bytes(data: bytes, identity: str) -> Checkpoint:
    """
    Raises:
        CheckpointUnusable: damaged, or the checkpoint of a job with another identity.
    """
    try:
        tensors = load(data)
        metadata = _metadata(data)
        progress = Progress.model_validate_json(metadata["progress"])
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
    """Of a valid document: the length of its header in 8 bytes, least first, then the header in JSON."""
    length = int.from_bytes(document[:8], "little")
    metadata: dict[str, str] = json.loads(document[8 : 8 + length])["__metadata__"]
    return metadata


def _checksum(progress: str, tensors: Tensors) -> str:
    """CRC-32 of the progress and of every tensor with its name, type and shape."""
    checksum = zlib.crc32(progress.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        checksum = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), checksum)
        checksum = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"
