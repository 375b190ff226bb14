"""The augmentation's core: seeded parameters, one warp, lesions carried along."""

import cv2
import numpy as np
import pytest

from services.augment.core import affine, apply_transform, carry_lesions, draw_transform
from shared.datasets.manifest import Label, Lesion, Transform
from shared.modelling.recipes import AugmentationRecipe

RECIPE = AugmentationRecipe(name="test", variants=4, rotation_deg=30, shift=0.1, upside_down=True)
GEOMETRIES = [
    Transform(rotation_deg=20),
    Transform(mirrored=True),
    Transform(upside_down=True, shift_x=9, shift_y=-14),
    Transform(rotation_deg=-75, mirrored=True, shift_x=-20, shift_y=11),
]


def film() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(20, 200, (160, 160), np.uint8), (0, 0), 4)


def test_variant_zero_is_the_film_itself() -> None:
    transform = draw_transform(RECIPE, "mdb001", 0, 160, 160)
    assert transform == Transform()
    assert np.array_equal(apply_transform(film(), transform), film())


def test_a_single_variant_can_be_made_again() -> None:
    again = [draw_transform(RECIPE, "mdb001", 3, 160, 160) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize(
    ("film_id", "variant", "recipe"),
    [("mdb002", 3, RECIPE), ("mdb001", 2, RECIPE), ("mdb001", 3, RECIPE.model_copy(update={"seed": 1}))],
)
def test_film_variant_and_seed_each_change_the_parameters(
    film_id: str, variant: int, recipe: AugmentationRecipe
) -> None:
    assert draw_transform(recipe, film_id, variant, 160, 160) != draw_transform(RECIPE, "mdb001", 3, 160, 160)


def test_parameters_stay_within_the_recipe_and_use_its_whole_range() -> None:
    drawn = [draw_transform(RECIPE, "mdb001", variant, 200, 100) for variant in range(1, 300)]
    assert 27 < max(abs(t.rotation_deg) for t in drawn) <= 30
    assert 18 < max(abs(t.shift_x) for t in drawn) <= 20
    assert 9 < max(abs(t.shift_y) for t in drawn) <= 10
    assert 0.85 <= min(t.brightness for t in drawn) < 0.87
    assert 1.13 < max(t.contrast for t in drawn) <= 1.15
    assert 0.4 < np.mean([t.mirrored for t in drawn]) < 0.6
    assert 0.4 < np.mean([t.upside_down for t in drawn]) < 0.6


def test_a_recipe_without_flips_never_flips() -> None:
    still = RECIPE.model_copy(update={"mirror": False, "upside_down": False})
    drawn = [draw_transform(still, "mdb001", variant, 160, 160) for variant in range(50)]
    assert not any(t.mirrored or t.upside_down for t in drawn)


@pytest.mark.parametrize("transform", GEOMETRIES)
def test_the_pixel_under_a_lesion_stays_under_it(transform: Transform) -> None:
    pixels = np.zeros((160, 160), np.uint8)
    cv2.circle(pixels, (69, 84), 6, 255, -1)  # pixel (69, 84) has its centre at (69.5, 84.5) of the film's edges
    lesion = Lesion(kind="CIRC", label=Label.BENIGN, x=69.5, y=84.5, radius=6)
    (moved,) = carry_lesions((lesion,), transform, 160, 160)
    assert moved.x is not None
    assert moved.y is not None
    weights = apply_transform(pixels, transform).astype(float)
    rows, columns = np.mgrid[:160, :160] + 0.5
    assert np.average(columns, weights=weights) == pytest.approx(moved.x, abs=0.2)
    assert np.average(rows, weights=weights) == pytest.approx(moved.y, abs=0.2)


def test_rotation_is_counter_clockwise() -> None:
    pixels = np.zeros((101, 101), np.uint8)
    cv2.circle(pixels, (90, 50), 4, 255, -1)  # to the right of the centre
    turned = apply_transform(pixels, Transform(rotation_deg=90))
    assert turned[10, 50] > 200  # now above it


def test_mirroring_alone_is_exact() -> None:
    assert np.array_equal(apply_transform(film(), Transform(mirrored=True)), film()[:, ::-1])


def test_what_comes_in_from_outside_is_background() -> None:
    moved = apply_transform(film(), Transform(shift_x=30))
    assert not moved[:, :29].any()
    assert moved[:, 31:].min() > 0


def test_brightness_and_contrast_change_grey_values_and_leave_the_background_black() -> None:
    pixels = film()
    pixels[:40] = 0
    brighter = apply_transform(pixels, Transform(brightness=1.2))
    assert not brighter[:40].any()
    assert brighter[41:].astype(int).mean() == pytest.approx(1.2 * pixels[41:].mean(), rel=0.02)
    harder = apply_transform(pixels, Transform(contrast=1.3))
    assert not harder[:40].any()
    assert harder[41:].astype(int).mean() < pixels[41:].mean()


def test_bright_pixels_saturate_instead_of_wrapping() -> None:
    assert apply_transform(np.full((8, 8), 250, np.uint8), Transform(brightness=1.15)).min() == 255


def test_a_lesion_without_a_place_keeps_having_none() -> None:
    lesion = Lesion(kind="CALC", label=Label.MALIGNANT)
    assert carry_lesions((lesion,), GEOMETRIES[0], 160, 160) == (lesion,)


def test_the_affine_map_keeps_lengths() -> None:
    linear = affine(GEOMETRIES[3], 160, 160)[:, :2]
    assert np.allclose(linear @ linear.T, np.eye(2))
