"""Recipes as data: parameters of augmentation and training.

An augmentation recipe's `id` ends with a digest of its content and is part of keys in the store, so that images of a
changed recipe are not mistaken for those of another.
"""

import json
import tomllib
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from shared.digests import sha256_hex
from shared.domain.records import Record
from shared.errors import InputError, PlanError
from shared.imaging.segmentation.segment import SEGMENTATION_VERSION

Protocol = Literal["patient", "paper", "official"]
PROTOCOLS: tuple[Protocol, ...] = ("patient", "paper")
"""The protocols of a run by default; `official` needs a data set with a division of its own."""
HONEST: tuple[Protocol, ...] = ("official", "patient")
"""Protocols that keep the patients of held-out films out of training; a model of the first of them is published."""
TrainingFormat = Literal["float32", "bfloat16"]
"""Number format of matrix products and convolutions; weights and their updates are always in single precision."""
Precision = Literal["auto", TrainingFormat]
LastStage = Literal["layer3", "layer4"]
Strided = Literal["3x3", "1x1"]
UP_TO_LAYER3 = 7
"""Number of stages of ResNet-50's trunk up to layer3: conv1, batch norm, ReLU, pooling, and three layers."""

AUGMENTATION_VERSION: int = 2
"""Increased when the same recipe creates other images than before; part of the recipe's id."""

ELASTIC_CELLS = 8
"""Cells of the elastic grid along a film's longer edge; an amplitude above a quarter of a cell could fold a film."""


class AugmentationRecipe(Record):
    """Variants of each film, the first of which is the film; parameters are drawn uniformly within the limits."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$", description="keys of the store begin with it")
    seed: int = 20240521
    variants: int = Field(ge=1, le=1000, description="images that one film becomes, itself included")
    rotation_deg: float = Field(15.0, ge=0, le=180, description="to either side, about the film's centre")
    shift: float = Field(0.04, ge=0, le=0.5, description="part of the film's edge")
    elastic: float = Field(
        0.015, ge=0, le=0.03, description="largest elastic displacement in x and in y, part of the film's longer edge"
    )
    brightness: float = Field(0.15, ge=0, lt=1, description="gain within 1 - b and 1 + b")
    contrast: float = Field(0.15, ge=0, lt=1, description="exponent within 1 - c and 1 + c")
    mirror: bool = Field(True, description="exchange left and right in every second variant, by chance")
    upside_down: bool = Field(False, description="the same for up and down; moves the pectoral muscle to the bottom")

    @property
    def id(self) -> str:
        """The name and a digest of the recipe and its version."""
        content = f"{AUGMENTATION_VERSION} {self.model_dump_json()}"
        return f"{self.name}-{sha256_hex(content.encode())[:8]}"

    @property
    def segmented_id(self) -> str:
        """The recipe of the segmented films: the augmentation's, and the version of the segmentation."""
        return f"{self.id}-seg{SEGMENTATION_VERSION}"


def read_augmentation(document: bytes, file: str) -> AugmentationRecipe:
    """Read a recipe: JSON if the file's name ends in .json, otherwise TOML.

    Raises:
        InputError: it is not a recipe; names the file and every invalid field.
    """
    where = "see `mammo augment --schema`"
    try:
        text = document.decode()
        return AugmentationRecipe.model_validate(json.loads(text) if file.endswith(".json") else tomllib.loads(text))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'recipe'}: {problem['msg'].lower()}" for problem in error.errors()
        )
        raise InputError(f"{file}: {wrong}; {where}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{file} is neither TOML nor JSON (with a name in .json); {where}") from None


class Jitter(Record):
    """Random changes of every training image in every epoch; none by default.

    They are applied by the loader to the stored variants. Amounts are drawn uniformly within the limits.
    """

    rotation_deg: float = Field(0.0, ge=0, le=180, description="to either side, about the input's centre")
    shift: float = Field(0.0, ge=0, le=0.5, description="to either side, part of the input's edge")
    scale: float = Field(0.0, ge=0, le=0.5, description="magnified within 1 - s and 1 + s")
    flip: bool = Field(False, description="exchange up and down in half of the images; the chest wall stays left")
    brightness: float = Field(0.0, ge=0, lt=1, description="gain within 1 - b and 1 + b")
    contrast: float = Field(0.0, ge=0, lt=1, description="exponent within 1 - c and 1 + c")

    @property
    def moves(self) -> bool:
        """Return True if pixels are moved."""
        return self.flip or any((self.rotation_deg, self.shift, self.scale))


class TrainingRecipe(Record):
    """Training parameters of a network: AdamW, a cosine schedule, a linear warm-up.

    A pretrained network is unfrozen from the top: first its new head alone, then stage after stage.
    """

    input_size: int = Field(ge=64, le=2048, description="edge of the square network input, pixels")
    epochs: int = Field(ge=1)
    patience: int = Field(
        0, ge=0, description="training ends after this many epochs without improvement; 0: never early"
    )
    head_epochs: int = Field(0, ge=0, description="first epochs in which only the new head is trained (transfer only)")
    stage_epochs: int = Field(
        0, ge=0, description="epochs between unfreezing a stage and the one below it; 0: all at once (transfer only)"
    )
    frozen: int = Field(
        0,
        ge=0,
        description="first stages of the trunk that stay frozen, so that they are computed once (transfer only)",
    )
    last_stage: LastStage = Field(
        "layer4", description="of ResNet-50, before the head; layer3 has twice the resolution"
    )
    strided: Strided = Field(
        "3x3",
        description="convolution of a block of ResNet-50 that has the stride: the 3x3 one in torchvision's weights, "
        "the first 1x1 one in those of the paper",
    )
    batch_size: int = Field(32, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    trunk_rate: float = Field(
        0.1, gt=0, le=1, description="learning rate of pretrained layers, as a part of the head's"
    )
    stage_rate: float = Field(
        1.0, gt=0, le=1, description="learning rate of each stage, as a part of that of the stage above it"
    )
    weight_decay: float = Field(1e-2, ge=0)
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    jitter: Jitter = Field(Jitter(), description="augmentation in the loader")
    lesion_weight: float = Field(
        0.0,
        ge=0,
        description="weight of the loss over the places of the feature map, whose labels are the lesions' outlines",
    )
    regression: float = Field(
        0.0,
        ge=0,
        description="C of a logistic regression on places that fits the head in one step (transfer only, "
        "behind ResNet-50 up to layer3, all of it frozen); 0: none",
    )
    precision: Precision = Field(
        "auto", description="auto: bfloat16 on a GPU that has it and on a CPU with AMX, otherwise float32"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.frozen and self.jitter != Jitter():
            raise ValueError(
                "features of frozen stages are computed once, so inputs can't be jittered; remove frozen or jitter"
            )
        if self.lesion_weight and self.jitter.moves:
            raise ValueError("lesion positions do not follow the jitter; remove lesion_weight or the geometric jitter")
        if self.regression and not (self.lesion_weight and self.last_stage == "layer3" and self.frozen == UP_TO_LAYER3):
            raise ValueError(
                "the regression is fitted on lesion positions, on frozen stages up to layer3; set "
                f"lesion_weight, last_stage layer3 and frozen {UP_TO_LAYER3}, or remove the regression"
            )
        return self


def as_protocol(name: str) -> Protocol:
    """Return `name` if it is the name of a protocol.

    Raises:
        PlanError: it is not.
    """
    for protocol in (*HONEST, *PROTOCOLS):
        if protocol == name:
            return protocol
    raise PlanError(f"there is no protocol '{name}'; choose patient, official, or paper (leaky)")
