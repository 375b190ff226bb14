"""The sheet of variants: all of them, each with its lesions where they are."""

import numpy as np
import pytest

from services.augment import preview
from shared.domain.lesions import Lesion
from shared.domain.records import Label
from shared.modelling.recipes import AugmentationRecipe

RECIPE = AugmentationRecipe(name="test", variants=2)
LESION = Lesion(kind="CIRC", label=Label.MALIGNANT, x=200, y=150, radius=40)


class TestSheet:
    def test_every_variant_has_a_place_on_the_sheet(self) -> None:
        film = np.full((400, 300), 80, np.uint8)
        tile = preview.sheet(film, (), RECIPE.model_copy(update={"variants": 1}), "mdb001").shape
        for variants, (rows, columns) in {3: (1, 3), 4: (1, 4), 7: (2, 4), 12: (3, 4), 500: (3, 4)}.items():
            shape = preview.sheet(film, (), RECIPE.model_copy(update={"variants": variants}), "mdb001").shape
            assert shape == (rows * tile[0], columns * tile[1], 3)

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 70)])
    def test_films_of_any_shape_are_drawn(self, size: tuple[int, int]) -> None:
        assert preview.sheet(np.full(size, 80, np.uint8), (), RECIPE, "mdb001").size

    def test_a_lesion_is_circled_in_every_variant_and_one_without_a_place_in_none(self) -> None:
        film = np.full((400, 300), 80, np.uint8)
        nowhere = Lesion(kind="CALC", label=Label.MALIGNANT)
        plain = preview.sheet(film, (nowhere,), RECIPE, "mdb001")
        assert np.array_equal(plain, preview.sheet(film, (), RECIPE, "mdb001"))
        circled = preview.sheet(film, (LESION,), RECIPE, "mdb001")
        changed = (circled != plain).any(axis=2)
        first, second = np.hsplit(changed, 2)
        ys, xs = np.nonzero(first)
        scale = preview.TILE / 400
        assert (xs.mean(), ys.mean()) == pytest.approx((200 * scale - 0.5, 150 * scale - 0.5), abs=1)
        assert second.sum() > 100
