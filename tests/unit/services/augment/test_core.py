"""The augmentation's core: seeded parameters, one warp, lesions carried along."""

import cv2
import numpy as np
import pytest

from services.augment import core
from services.augment.core import affine, apply_transform, background, carry_lesions, draw_transform
from services.augment.elastic import displacement
from shared.domain.films import Elastic, Transform
from shared.domain.lesions import Lesion
from shared.domain.records import Label
from shared.imaging.image import unsigned
from shared.modelling.recipes import AugmentationRecipe

RECIPE = AugmentationRecipe(name="test", variants=4, rotation_deg=30, shift=0.1, upside_down=True)
ELASTIC = Elastic(seed="1/mdb001/1/elastic", amplitude=4.8, spacing=20)  # as much as a recipe may ask of 160 pixels
GEOMETRIES = [
    Transform(rotation_deg=20),
    Transform(mirrored=True),
    Transform(upside_down=True, shift_x=9, shift_y=-14),
    Transform(rotation_deg=-75, mirrored=True, shift_x=-20, shift_y=11),
    Transform(elastic=ELASTIC),
    Transform(elastic=ELASTIC, rotation_deg=40, mirrored=True, shift_x=-7, shift_y=5),
]


def film() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(20, 200, (160, 160), np.uint8), (0, 0), 4)


PARTS = {
    "rotation_deg": {"rotation_deg"},
    "shift": {"shift_x", "shift_y"},
    "elastic": {"elastic"},
    "brightness": {"brightness"},
    "contrast": {"contrast"},
    "mirror": {"mirrored"},
    "upside_down": {"upside_down"},
}
"""What each part of a recipe draws."""


class TestDrawTransform:
    def test_variant_zero_is_the_film_itself(self) -> None:
        transform = draw_transform(RECIPE, "mdb001", 0, 160, 160)
        assert transform == Transform()
        assert np.array_equal(apply_transform(film(), transform), film())

    def test_a_single_variant_can_be_made_again_by_itself(self) -> None:
        together = [draw_transform(RECIPE, "mdb001", variant, 160, 160) for variant in range(4)]
        assert draw_transform(RECIPE, "mdb001", 3, 160, 160) == together[3]

    def test_what_is_noted_of_a_variant_is_enough_to_make_it_again(self) -> None:
        transform = draw_transform(RECIPE, "mdb001", 3, 160, 160)
        noted = Transform.model_validate_json(transform.model_dump_json())
        assert np.array_equal(apply_transform(film(), noted), apply_transform(film(), transform))

    def test_the_parameters_of_a_variant_stay_the_same_for_ever(self) -> None:
        transform = draw_transform(AugmentationRecipe(name="test", variants=2), "mdb001", 1, 1024, 1024)
        assert transform == Transform(
            rotation_deg=2.032,
            mirrored=True,
            shift_x=-2.86,
            shift_y=11.42,
            elastic=Elastic(seed="20240521/mdb001/1/elastic", amplitude=15.36, spacing=128),
            brightness=1.1279,
            contrast=0.9416,
        )
        assert displacement(transform.elastic, np.array([300.0]), np.array([500.0]), (1024, 1024)).ravel() == (
            pytest.approx([3.379503, 4.768952], abs=1e-6)
        )

    @pytest.mark.parametrize(
        ("film_id", "variant", "recipe"),
        [("mdb002", 3, RECIPE), ("mdb001", 2, RECIPE), ("mdb001", 3, RECIPE.model_copy(update={"seed": 1}))],
    )
    def test_film_variant_and_seed_each_change_the_parameters(
        self, film_id: str, variant: int, recipe: AugmentationRecipe
    ) -> None:
        assert draw_transform(recipe, film_id, variant, 160, 160) != draw_transform(RECIPE, "mdb001", 3, 160, 160)

    def test_parameters_stay_within_the_recipe_and_use_its_whole_range(self) -> None:
        drawn = [draw_transform(RECIPE, "mdb001", variant, 200, 100) for variant in range(1, 300)]
        assert all(t.elastic is not None and t.elastic.amplitude == 3 for t in drawn)
        assert 27 < max(abs(t.rotation_deg) for t in drawn) <= 30
        assert 18 < max(abs(t.shift_x) for t in drawn) <= 20
        assert 9 < max(abs(t.shift_y) for t in drawn) <= 10
        assert 0.85 <= min(t.brightness for t in drawn) < 0.87
        assert 1.13 < max(t.contrast for t in drawn) <= 1.15
        assert 0.4 < np.mean([t.mirrored for t in drawn]) < 0.6
        assert 0.4 < np.mean([t.upside_down for t in drawn]) < 0.6

    def test_no_two_variants_are_displaced_alike(self) -> None:
        drawn = [
            draw_transform(RECIPE, film_id, variant, 160, 160) for film_id in ("mdb001", "mdb002") for variant in (1, 2)
        ]
        assert len({t.elastic.seed for t in drawn}) == 4

    def test_a_recipe_without_elastic_displacement_notes_none(self) -> None:
        assert draw_transform(RECIPE.model_copy(update={"elastic": 0}), "mdb001", 1, 160, 160).elastic is None

    @pytest.mark.parametrize("part", PARTS)
    @pytest.mark.parametrize("variant", [1, 2, 3])
    def test_what_a_recipe_leaves_out_changes_nothing_of_the_rest(self, part: str, variant: int) -> None:
        whole = draw_transform(RECIPE, "mdb001", variant, 160, 150)
        less = draw_transform(RECIPE.model_copy(update={part: 0}), "mdb001", variant, 160, 150)
        assert less.model_dump(exclude=PARTS[part]) == whole.model_dump(exclude=PARTS[part])
        assert less.model_dump(include=PARTS[part]) == Transform().model_dump(include=PARTS[part])

    def test_a_recipe_without_flips_never_flips(self) -> None:
        still = RECIPE.model_copy(update={"mirror": False, "upside_down": False})
        drawn = [draw_transform(still, "mdb001", variant, 160, 160) for variant in range(50)]
        assert not any(t.mirrored or t.upside_down for t in drawn)


class TestCarryLesions:
    @pytest.mark.parametrize("transform", GEOMETRIES)
    @pytest.mark.parametrize(("x", "y"), [(69, 84), (40, 110), (104, 51)])
    def test_the_pixel_under_a_lesion_stays_under_it(self, transform: Transform, x: int, y: int) -> None:
        pixels = np.zeros((160, 160), np.uint8)
        cv2.circle(pixels, (x, y), 4, 255, -1)  # a pixel's centre lies half a pixel inside, seen from the film's edges
        lesion = Lesion(kind="CIRC", label=Label.BENIGN, x=x + 0.5, y=y + 0.5, radius=4)
        (moved,) = carry_lesions((lesion,), transform, 160, 160)
        assert moved.x is not None
        assert moved.y is not None
        weights = apply_transform(pixels, transform).astype(float)
        rows, columns = np.mgrid[:160, :160] + 0.5
        assert np.average(columns, weights=weights) == pytest.approx(moved.x, abs=0.5 if transform.elastic else 0.2)
        assert np.average(rows, weights=weights) == pytest.approx(moved.y, abs=0.5 if transform.elastic else 0.2)

    def test_the_corners_of_an_outline_are_carried_as_the_centres_of_circles_are(self) -> None:
        transform = draw_transform(RECIPE, "mdb001", 1, 1024, 768)
        box = Lesion.of_box("mass", Label.BENIGN, (100, 200, 300, 500))
        circles = tuple(Lesion(kind="CIRC", label=Label.BENIGN, x=x, y=y, radius=1) for x, y in box.polygon)
        carried, *centres = carry_lesions((box, *circles), transform, 1024, 768)
        assert carried.polygon == tuple((circle.x, circle.y) for circle in centres)
        assert carried.polygon != box.polygon

    def test_a_lesion_without_a_place_keeps_having_none(self) -> None:
        lesion = Lesion(kind="CALC", label=Label.MALIGNANT)
        assert carry_lesions((lesion,), GEOMETRIES[0], 160, 160) == (lesion,)


class TestApplyTransform:
    def test_a_transform_of_a_manifest_from_before_elastic_displacements_is_read(self) -> None:
        noted = '{"rotation_deg": 3.5, "mirrored": true, "shift_x": 2.0, "brightness": 1.1, "contrast": 0.9}'
        assert Transform.model_validate_json(noted).elastic is None

    def test_two_displacements_in_turn_are_those_of_each_alone(self) -> None:
        places, size = np.arange(0.0, 160, 10), (160, 160)
        other = ELASTIC.model_copy(update={"seed": "another"})
        first, second = (displacement(elastic, places, places, size) for elastic in (ELASTIC, other))
        assert not np.array_equal(first, second)
        assert np.array_equal(displacement(ELASTIC, places, places, size), first)

    def test_a_lesion_is_carried_to_where_its_pixel_comes_from(self) -> None:
        """Exactly, for the strongest elastic displacement that a recipe may ask for, anywhere on the film."""
        transform = draw_transform(RECIPE.model_copy(update={"elastic": 0.03}), "mdb001", 1, 1024, 768)
        places = [(x, y) for x in range(32, 1024, 80) for y in range(32, 768, 80)]
        lesions = tuple(Lesion(kind="CIRC", label=Label.BENIGN, x=x + 0.5, y=y + 0.5, radius=5) for x, y in places)
        for lesion, moved in zip(lesions, carry_lesions(lesions, transform, 1024, 768), strict=True):
            at = np.array([moved.x]) - 0.5, np.array([moved.y]) - 0.5
            back = core._source(transform, *at, (1024, 768)).ravel() + 0.5
            assert back == pytest.approx([lesion.x, lesion.y], abs=0.03)

    def test_the_strongest_elastic_displacement_never_folds_a_film_over(self) -> None:
        places = np.arange(1024.0)
        for number in range(8):
            elastic = Elastic(seed=str(number), amplitude=0.03 * 1024, spacing=128)
            dx, dy = displacement(elastic, places, places, (1024, 1024))
            (xy, xx), (yy, yx) = np.gradient(dx), np.gradient(dy)
            assert ((1 + xx) * (1 + yy) - xy * yx).min() > 0
            assert max(np.abs(dx).max(), np.abs(dy).max()) <= elastic.amplitude

    def test_between_its_nodes_the_map_is_near_the_splines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        edge = np.minimum(np.arange(200), np.arange(200)[::-1]).astype(np.uint8)
        ramp = np.minimum(edge, edge[:, None])  # one grey level a pixel, and 0 at the edges
        transform = Transform(elastic=Elastic(seed="1", amplitude=0.03 * 1024, spacing=128), rotation_deg=20)
        coarse = apply_transform(ramp, transform)
        monkeypatch.setattr(core, "STEP", 1)
        assert np.abs(coarse.astype(int) - apply_transform(ramp, transform)).max() <= 1

    @pytest.mark.parametrize("size", [(1, 1), (7, 300), (130, 50), (255, 129)])
    def test_films_of_any_size_are_warped_whole(self, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
        pixels = np.random.default_rng(1).integers(1, 255, size, np.uint8)
        transform = Transform(elastic=Elastic(seed="1", amplitude=1, spacing=max(size) / 8), rotation_deg=3)
        in_bands = apply_transform(pixels, transform)
        monkeypatch.setattr(core, "BAND", 1024)
        assert np.array_equal(in_bands, apply_transform(pixels, transform))

    def test_elastic_displacement_is_smooth_and_changes_a_film(self) -> None:
        moved = apply_transform(film(), Transform(elastic=ELASTIC))
        assert np.abs(moved.astype(int) - film()).max() > 10

    def test_rotation_is_counter_clockwise(self) -> None:
        pixels = np.zeros((101, 101), np.uint8)
        cv2.circle(pixels, (90, 50), 4, 255, -1)  # to the right of the centre
        turned = apply_transform(pixels, Transform(rotation_deg=90))
        assert turned[10, 50] > 200  # now above it

    def test_mirroring_alone_is_exact(self) -> None:
        assert np.array_equal(apply_transform(film(), Transform(mirrored=True)), film()[:, ::-1])

    @pytest.mark.parametrize("transform", [Transform(shift_x=30), Transform(shift_x=30, elastic=ELASTIC)])
    def test_what_comes_in_from_outside_is_the_background_of_the_film(self, transform: Transform) -> None:
        digital = np.zeros((160, 160), np.uint8)
        digital[40:120, :60] = 150  # a breast that the left edge cuts
        for level in (0, 9):
            moved = apply_transform(np.maximum(digital, np.uint8(level)), transform)
            assert (moved[:, :24] == level).all()

    def test_the_background_is_the_commonest_dark_grey_level_along_the_edges(self) -> None:
        pixels = np.full((100, 100), 12, np.uint8)
        assert background(pixels) == 12
        pixels[:, :60] = 200  # more than half of the edges are breast
        assert background(pixels) == 12
        assert background(np.full((100, 100), 200, np.uint8)) == 0

    def test_brightness_and_contrast_change_grey_values_and_leave_the_background_black(self) -> None:
        pixels = film()
        pixels[:40] = 0
        brighter = apply_transform(pixels, Transform(brightness=1.2))
        assert not brighter[:40].any()
        assert brighter[41:].astype(int).mean() == pytest.approx(1.2 * pixels[41:].mean(), rel=0.02)
        harder = apply_transform(pixels, Transform(contrast=1.3))
        assert not harder[:40].any()
        assert harder[41:].astype(int).mean() < pixels[41:].mean()

    def test_bright_pixels_saturate_instead_of_wrapping(self) -> None:
        assert apply_transform(np.full((8, 8), 250, np.uint8), Transform(brightness=1.15)).min() == 255

    def test_the_affine_map_keeps_lengths(self) -> None:
        linear = affine(GEOMETRIES[3], 160, 160)[:, :2]
        assert np.allclose(linear @ linear.T, np.eye(2))

    @pytest.mark.parametrize("transform", [*GEOMETRIES, Transform(brightness=1.2, contrast=0.9)])
    def test_a_film_keeps_its_depth(self, transform: Transform) -> None:
        """Its upper 8 bits are the variant that 8 bits have, and there are finer levels between them."""
        deep = unsigned(cv2.GaussianBlur(film().astype(np.uint16) * 16, (0, 0), 2))
        variant = apply_transform(deep, transform, bits=12)
        assert variant.dtype == np.uint16
        assert variant.max() < 2**12
        shallow = apply_transform((deep >> 4).astype(np.uint8), transform)
        inside = (
            apply_transform(np.full_like(deep, 4095), transform.model_copy(update={"brightness": 1}), bits=12) == 4095
        )
        assert np.abs((variant / 16 - shallow)[inside]).max() < 2.5
        assert len(np.unique(variant)) > 2 * len(np.unique(shallow))

    def test_the_background_of_a_deep_film_is_that_of_its_edges(self) -> None:
        edges = np.full((64, 64), 40 * 16 + 3, np.uint16)
        edges[:, :20] = 4000
        assert background(edges, bits=12) == 40 * 16 + 3
        assert background((edges >> 4).astype(np.uint8)) == 40
