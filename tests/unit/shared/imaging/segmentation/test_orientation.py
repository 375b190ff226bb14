"""The chest wall's side: seen in the outline, whatever the laterality, on both views and both kinds of film."""

import cv2
import numpy as np
import pytest

from shared.datasets.synthetic_exams import Exposed, exposures
from shared.imaging.image import Grey, Image, to_8bit
from shared.imaging.segmentation.breast import find_breast, fine
from shared.imaging.segmentation.orientation import chest_wall_is_right
from tests.bench.real_films import judge
from tests.support.film_folders import RealFilm
from tests.support.films import exposure_of

FILMS = tuple(exposures(12))


def found_right(pixels: Grey) -> bool:
    return chest_wall_is_right(find_breast(fine(pixels)))


class TestChestWallIsRight:
    @pytest.mark.parametrize("exposed", FILMS, ids=lambda exposed: exposed.film)
    def test_the_straight_side_of_the_breast_is_the_chest_wall(self, exposed: Exposed) -> None:
        film = exposure_of(exposed, seed=11)
        pixels = to_8bit(Image(film.pixels, film.bits))
        assert found_right(pixels) is (film.wall == "right")
        assert found_right(np.ascontiguousarray(pixels[:, ::-1])) is (film.wall == "left")

    def test_a_breast_that_is_cut_off_on_both_sides_hangs_from_the_side_of_its_top(self) -> None:
        """As on mdb151 of MIAS: larger than the film, straight left and right, the muscle at the upper right."""
        pixels = np.zeros((512, 512), np.uint8)
        cv2.fillPoly(pixels, [np.array([[130, 0], [500, 0], [500, 390], [330, 511], [10, 511], [10, 110]])], 150)
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 6), np.uint8)
        assert found_right(pixels)
        assert not found_right(np.ascontiguousarray(pixels[:, ::-1]))

    def test_every_real_film_is_turned_the_right_way(
        self, mias_films: list[RealFilm], labelled_films: list[RealFilm]
    ) -> None:
        judged = [judge(film) for film in (*mias_films, *labelled_films)]
        assert [film.film.id for film in judged if film.film.side and film.side != film.film.side] == []
