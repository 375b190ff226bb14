"""Pretrained weights, downloaded by torchvision or from a file with torchvision's names.

All layers that fit are loaded; the report lists the others, and the layers initialised at random.
"""

import io
from collections.abc import Mapping

import torch
from torch import Tensor

from shared.errors import WeightsUnavailable
from shared.modelling.evaluation import WeightsReport
from shared.modelling.network_table import NETWORK_TABLE, Network
from shared.modelling.networks import MammogramNetwork

from torchvision.models import get_weight  # isort: skip


def download(network: Network, *, progress: bool = False) -> tuple[dict[str, Tensor], str]:
    """Load ImageNet weights from torch's cache or by download; return them and their name.

    Raises:
        WeightsUnavailable: they are not in the cache and can't be downloaded.
    """
    name = NETWORK_TABLE[network].weights
    if name is None:
        raise WeightsUnavailable(f"{network} has no pretrained weights; choose --from-scratch")
    weights = get_weight(name)
    try:
        return dict(weights.get_state_dict(progress=progress, check_hash=True)), f"torchvision {weights}"
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailable(
            f"the ImageNet weights of {network} can't be downloaded ({error}); give a file with "
            "--weights, or choose --from-scratch"
        ) from error


def from_file(data: bytes, name: str) -> dict[str, Tensor]:
    """Read the tensors of a `.pth` or `.safetensors` file without executing code.

    Raises:
        WeightsUnavailable: it is neither.
    """
    try:
        if name.endswith(".safetensors"):
            from safetensors.torch import load  # noqa: PLC0415  only for this format

            return load(data)
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # reading an arbitrary file may raise anything
        raise WeightsUnavailable(
            f"{name} is not a weights file ({type(error).__name__}); give .safetensors or .pth with tensors only"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    tensors = {key.removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsUnavailable(f"{name} contains no named tensors; give a state_dict with torchvision's names")
    return tensors


def load_into(network: MammogramNetwork, kind: Network, tensors: Mapping[str, Tensor], source: str) -> WeightsReport:
    """Copy all fitting tensors into `network`; `tensors` has torchvision's names.

    Raises:
        WeightsUnavailable: no layer fits.
    """
    own = network.state_dict()
    fitting, unexpected = {}, []
    for name, tensor in tensors.items():
        target = _our_name(kind, name)
        if target in own and own[target].shape == tensor.shape:
            fitting[target] = tensor
        else:
            unexpected.append(name)
    if not fitting:
        raise WeightsUnavailable(f"not one layer of {source} fits {kind}; give weights with torchvision's names")
    network.load_state_dict(fitting, strict=False)
    learned = {name for name, _ in network.named_parameters()} | {name for name in own if "running" in name}
    return WeightsReport(
        source=source,
        loaded=_layers(fitting),
        missing=_layers(learned - fitting.keys()),
        unexpected=_layers(unexpected),
    )


def _our_name(kind: Network, name: str) -> str:
    for theirs, ours in NETWORK_TABLE[kind].trunk.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _layers(names: "Mapping[str, Tensor] | set[str] | list[str]") -> tuple[str, ...]:
    return tuple(sorted({name.rpartition(".")[0] for name in names}))
