"""Profiles: named sets of an augmentation recipe, training recipes and a number of folds."""

from typing import NamedTuple, Self

from pydantic import Field

from shared.domain.records import Record
from shared.errors import PlanError
from shared.modelling.network_table import NETWORK_TABLE, Network
from shared.modelling.recipes import UP_TO_LAYER3, AugmentationRecipe, Jitter, Strided, TrainingRecipe


class Profile(Record):
    """A named amount of work: from seconds in a test to a night on a GPU."""

    name: str
    augmentation: AugmentationRecipe
    folds: int = Field(ge=2, le=20, description="parts of the patients; each is held out once")
    repeats: int = Field(1, ge=1, le=20, description="times that the patients are divided into folds, each anew")
    training: dict[Network, TrainingRecipe]

    def strided(self, strided: Strided) -> Self:
        """Return the profile for weights of ResNet-50 with other strides."""
        staged = {
            network: recipe.model_copy(update={"strided": strided})
            for network, recipe in self.training.items()
            if NETWORK_TABLE[network].staged
        }
        return self.model_copy(update={"training": {**self.training, **staged}})


class _Pace(NamedTuple):
    """Epochs, learning rate and batch size of a network."""

    epochs: int
    rate: float
    batch: int = 32


def _profile(
    name: str,
    *,
    variants: int,
    folds: int,
    repeats: int = 1,
    size: int,
    paces: dict[Network, _Pace],
) -> Profile:
    """Create a profile from one value per network, in the order of NETWORKS."""
    recipes = {
        network: TrainingRecipe(
            input_size=size,
            epochs=pace.epochs,
            head_epochs=min(1, pace.epochs - 1) if NETWORK_TABLE[network].weights else 0,
            learning_rate=pace.rate,
            batch_size=pace.batch,
        )
        for network, pace in paces.items()
    }
    augmentation = AugmentationRecipe(name=name, variants=variants)
    return Profile(name=name, augmentation=augmentation, folds=folds, repeats=repeats, training=recipes)


_PUBLISHED = Profile(
    name="published",
    augmentation=AugmentationRecipe(name="published", variants=24, shift=0.02, elastic=0),
    folds=3,
    training={
        "modified_cnn": TrainingRecipe(input_size=112, epochs=12, patience=4, learning_rate=2e-3),
        "alexnet": TrainingRecipe(
            input_size=112, epochs=30, patience=6, head_epochs=1, learning_rate=3e-4, label_smoothing=0
        ),
        "resnet50": TrainingRecipe(input_size=112, epochs=12, patience=3, frozen=UP_TO_LAYER3, trunk_rate=1),
    },
)
"""The published pipeline: many rotated copies of every film. Under the leaky protocol it exceeds the published metrics;
under the patient protocol the same recipe is at chance (docs/experiments.md)."""

_LESIONS = Profile(
    name="lesions",
    augmentation=AugmentationRecipe(name="lesions", variants=2),
    folds=5,
    repeats=3,
    training={
        "modified_cnn": TrainingRecipe(input_size=224, epochs=15, patience=5, learning_rate=2e-3, lesion_weight=1),
        "alexnet": TrainingRecipe(input_size=224, epochs=10, patience=3, head_epochs=1, learning_rate=2e-4),
        "resnet50": TrainingRecipe(
            input_size=448,
            epochs=10,
            frozen=UP_TO_LAYER3,
            last_stage="layer3",
            batch_size=16,
            weight_decay=0.1,
            lesion_weight=1,
            regression=1e-2,
        ),
    },
)
"""Large inputs and lesions' outlines: networks are trained on places in addition to films."""

_PLACES = Profile(
    name="places",
    augmentation=AugmentationRecipe(name="places", variants=2),
    folds=3,
    training={
        "modified_cnn": TrainingRecipe(input_size=64, epochs=6, learning_rate=2e-3),
        "alexnet": TrainingRecipe(input_size=64, epochs=3, head_epochs=1, learning_rate=2e-4),
        "resnet50": _LESIONS.training["resnet50"],
    },
)
"""The recipe of `lesions` for ResNet-50 in minutes: one division into three folds, the other networks small."""

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        _profile(
            "test",
            variants=2,
            folds=2,
            size=64,
            paces={"modified_cnn": _Pace(1, 1e-3), "alexnet": _Pace(1, 1e-4), "resnet50": _Pace(1, 1e-3)},
        ),
        _profile(
            "demo",
            variants=3,
            folds=2,
            size=64,
            paces={  # few images: small batches give enough steps
                "modified_cnn": _Pace(12, 2e-3, batch=16),
                "alexnet": _Pace(6, 5e-4),
                "resnet50": _Pace(6, 1e-3, batch=16),
            },
        ),
        _profile(
            "quick",
            variants=3,
            folds=3,
            size=112,
            paces={"modified_cnn": _Pace(8, 2e-3), "alexnet": _Pace(5, 2e-4), "resnet50": _Pace(4, 1e-3)},
        ),
        _profile(
            "full",
            variants=12,
            folds=5,
            repeats=3,
            size=224,
            paces={"modified_cnn": _Pace(40, 2e-3), "alexnet": _Pace(30, 2e-4), "resnet50": _Pace(30, 5e-4)},
        ),
        _PUBLISHED,
        _LESIONS,
        _PLACES,
    )
}


def augmented_in_loader(profile: Profile) -> Profile:
    """Return a profile that stores no augmented copies and changes training images in the loader instead, if any.

    The loader draws anew in every epoch, within the limits of the augmentation recipe; it has no elastic displacement
    and no mirroring, which would move the chest wall. Recipes with a jitter of their own keep it, and what could not
    follow one is left out: all of it with frozen stages, shifts and rotations with lesions' outlines.
    """
    recipe = profile.augmentation
    if recipe.variants == 1:
        return profile
    grey = Jitter(brightness=recipe.brightness, contrast=recipe.contrast)
    moving = {"rotation_deg": recipe.rotation_deg, "shift": recipe.shift, "flip": recipe.upside_down}

    def jittered(training: TrainingRecipe) -> TrainingRecipe:
        if training.frozen or training.jitter != Jitter():
            return training
        jitter = grey if training.lesion_weight else grey.model_copy(update=moving)
        return training.model_copy(update={"jitter": jitter})

    training = {network: jittered(each) for network, each in profile.training.items()}
    return profile.model_copy(update={"augmentation": recipe.model_copy(update={"variants": 1}), "training": training})


def profile(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        PlanError: there is no such profile; names the existing ones.
    """
    if name not in PROFILES:
        raise PlanError(f"there is no profile '{name}'; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
