"""The networks that can be trained: one record each with everything in which they differ.

A new network is a record here, a builder in `networks`, and a recipe in each profile that is to train it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, WithJsonSchema

from shared.errors import PlanError


@dataclass(frozen=True)
class NetworkRecord:
    """Properties of a network; its layers are in `networks.BUILDERS`.

    `label` is the display name. `weights` is torchvision's name of the pretrained weights; None: it is always trained
    from scratch. `trunk` maps prefixes of the parameters of such weights to prefixes here; the first match counts.
    `explainable`: its head judges every place of the feature map, so that it has a class-activation map and learns from
    outlines of lesions. `staged`: its last stage and its strides can be chosen.
    """

    label: str
    weights: str | None = None
    trunk: Mapping[str, str] = field(default_factory=dict)
    explainable: bool = False
    staged: bool = False


NETWORK_TABLE: dict[str, NetworkRecord] = {
    "modified_cnn": NetworkRecord("Modified CNN", explainable=True),
    "alexnet": NetworkRecord(
        "AlexNet",
        weights="AlexNet_Weights.IMAGENET1K_V1",
        trunk={"features.": "trunk.", "classifier.": "head.2."},
    ),
    "resnet50": NetworkRecord(
        "ResNet-50",
        weights="ResNet50_Weights.IMAGENET1K_V2",
        trunk={"fc.": "head.linear.", "": "trunk."},
        explainable=True,
        staged=True,
    ),
}
"""By the name in plans, cards and store paths."""

NETWORKS: tuple[str, ...] = tuple(NETWORK_TABLE)
NETWORKS_TEXT = f"{', '.join(NETWORKS[:-1])} or {NETWORKS[-1]}"
"""For help and descriptions: 'a, b or c'."""

TRANSFER_NETWORKS: tuple[str, ...] = tuple(name for name, record in NETWORK_TABLE.items() if record.weights)


def _known(name: str) -> str:
    if name not in NETWORK_TABLE:
        raise ValueError(f"there is no network '{name}'; choose one of {', '.join(NETWORK_TABLE)}")
    return name


Network: TypeAlias = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(NETWORKS)})]
"""The name of a network of the table."""


def as_network(name: str) -> Network:
    """Return `name` if it is the name of a network.

    Raises:
        PlanError: it is not; lists the networks.
    """
    try:
        return _known(name)
    except ValueError as error:
        raise PlanError(str(error)) from None
