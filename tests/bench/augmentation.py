"""Our augmentation beside those of albumentations and torchvision: the same transforms of one film, one core.

Each side draws its parameters itself, for every image anew. The film has 1024 x 1024 pixels of 8 bits; it is one of
MIAS where `MAMMO_TEST_MIAS` names a copy, otherwise generated. The others draw an elastic displacement for every pixel
and smooth it; they are asked for less smooth ones than ours, which takes them less time, albumentations by its faster
method.
"""

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from services.augment.core import apply_transform, draw_transform
from shared.modelling.profiles import PROFILES
from shared.modelling.recipes import AugmentationRecipe
from tests.bench import timing
from tests.bench.dataset import films

WANTED = {"albumentations": 1.0, "torchvision": 3.0}
FULL = PROFILES["full"].augmentation.model_copy(update={"variants": 1000})
NOTHING = FULL.model_copy(
    update={"rotation_deg": 0, "shift": 0, "elastic": 0, "brightness": 0, "contrast": 0, "mirror": False}
)
RECIPES: dict[str, tuple[str, ...]] = {
    "rotation and shift": ("rotation_deg", "shift"),
    "elastic": ("elastic",),
    "mirroring": ("mirror",),
    "brightness and contrast": ("brightness", "contrast"),
    "the whole recipe": ("rotation_deg", "shift", "elastic", "mirror", "brightness", "contrast"),
}
"""The parts of the recipe that are on."""

IMAGES = 24
"""In a row, before it is another side's turn; but torchvision takes a second and a half for an elastic one."""

Grey = npt.NDArray[np.uint8]


def ours(recipe: AugmentationRecipe, pixels: Grey) -> timing.Work:
    variants, (height, width) = itertools.cycle(range(1, recipe.variants)), pixels.shape
    return lambda: apply_transform(pixels, draw_transform(recipe, "mdb001", next(variants), width, height))


def by_albumentations(recipe: AugmentationRecipe, pixels: Grey) -> timing.Work:
    import albumentations as alb

    steps: list[alb.BasicTransform] = []
    if recipe.mirror:
        steps.append(alb.HorizontalFlip(p=0.5))
    if recipe.rotation_deg or recipe.shift:
        turn, part = (-recipe.rotation_deg, recipe.rotation_deg), (-recipe.shift, recipe.shift)
        steps.append(alb.Affine(rotate=turn, translate_percent={"x": part, "y": part}, interpolation=1, p=1))
    if recipe.elastic:
        far = recipe.elastic * max(pixels.shape)
        steps.append(alb.ElasticTransform(alpha=far, sigma=5, approximate=True, p=1))
    if recipe.brightness:
        gain = (-recipe.brightness, recipe.brightness)
        steps.append(alb.RandomBrightnessContrast(brightness_limit=0, contrast_limit=gain, p=1))
    if recipe.contrast:
        exponent = (100 - 100 * recipe.contrast, 100 + 100 * recipe.contrast)
        steps.append(alb.RandomGamma(gamma_limit=exponent, p=1))
    composed = alb.Compose(steps, seed=1)
    return lambda: composed(image=pixels)


def by_torchvision(recipe: AugmentationRecipe, pixels: Grey) -> timing.Work:
    from shared.modelling import torchvision_cpu  # noqa: F401  before torchvision

    # isort: split
    import torch
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    torch.manual_seed(1)
    steps: list[Callable[[torch.Tensor], torch.Tensor]] = []
    if recipe.mirror:
        steps.append(v2.RandomHorizontalFlip(0.5))
    if recipe.rotation_deg or recipe.shift:
        bilinear = v2.InterpolationMode.BILINEAR
        steps.append(v2.RandomAffine(recipe.rotation_deg, (recipe.shift, recipe.shift), interpolation=bilinear))
    if recipe.elastic:
        steps.append(v2.ElasticTransform(alpha=recipe.elastic * max(pixels.shape), sigma=5.0))
    if recipe.brightness:
        steps.append(v2.ColorJitter(brightness=recipe.brightness))
    if recipe.contrast:

        def expose(image: torch.Tensor) -> torch.Tensor:
            exponent = 1 + recipe.contrast * (2 * torch.rand(()).item() - 1)
            return v2.functional.adjust_gamma(image, exponent)

        steps.append(expose)
    composed, image = v2.Compose(steps), torch.from_numpy(pixels)[None]
    return lambda: composed(image)


def repeated(work: timing.Work, times: int) -> timing.Work:
    """As a worker does it: one image after the other."""

    def several() -> None:
        for _ in range(times):
            work()

    return several


def main() -> None:
    timing.keep_to_one_core()
    pixels = films()[0]
    print("augmentation of 1024 x 1024, images/s on one core, and ours as many times the other")
    print(f"  {'':24}{'ours':>8}{'albumentations':>18}{'':8}{'torchvision v2':>18}")
    for name, parts in RECIPES.items():
        recipe = NOTHING.model_copy(update={part: getattr(FULL, part) for part in parts})
        sides = {"ours": ours, "albumentations": by_albumentations, "torchvision": by_torchvision}
        images = {side: 1 if side == "torchvision" and recipe.elastic else IMAGES for side in sides}
        works = {side: repeated(make(recipe, pixels), images[side]) for side, make in sides.items()}
        seen = timing.milliseconds(works, seconds=6.0, least=3)
        seen = {side: ms / images[side] for side, ms in seen.items()}
        cells = "".join(cell(seen, other) for other in WANTED)
        print(f"  {name:24}{1000 / seen['ours']:8.0f}{cells}", flush=True)
    print("  wanted: " + ", ".join(f"{ratio:.1f} x {other}" for other, ratio in WANTED.items()))


def cell(seen: dict[str, float], other: str) -> str:
    ratio = seen[other] / seen["ours"]
    return f"{1000 / seen[other]:10.1f} {f'{ratio:.2f} x' if ratio < 10 else f'{ratio:.0f} x':>7}" + (
        "        " if ratio >= WANTED[other] else "  short "
    )


if __name__ == "__main__":
    main()
