"""Views: that of the file, else the one that the shape tells, and no muscle on craniocaudal ones."""

import numpy as np
import pytest

from shared.datasets.synthetic_exams import Exposed, exposures
from shared.imaging.segmentation.segment import segment
from shared.imaging.segmentation.upright import Upright
from shared.imaging.segmentation.view import View, view_of
from tests.support.films import exposure_of

FILMS = tuple(exposures(12))


def upright(widths: list[int]) -> Upright:
    breast = (np.arange(max(widths))[None] < np.array(widths)[:, None]).astype(np.uint8)
    return Upright(breast.astype(np.float32) * 100, breast, np.eye(2, 3), 100.0)


class TestView:
    @pytest.mark.parametrize("exposed", FILMS, ids=lambda exposed: exposed.film)
    def test_the_view_is_told_by_the_shape_of_the_breast(self, exposed: Exposed) -> None:
        film = exposure_of(exposed, seed=11)
        view = segment(film.pixels, film.bits).view
        assert (view.name, view.source) == (exposed.view, "shape")
        assert 0.5 < view.score <= 1

    def test_a_declared_view_counts_more_than_the_shape(self) -> None:
        film = exposure_of(next(film for film in FILMS if film.view == "MLO"), seed=11)
        oblique, declared = segment(film.pixels, film.bits), segment(film.pixels, film.bits, "CC")
        assert declared.view == View("CC", 1.0, "file")
        # No muscle is cut out of it, so that the mask is all of the breast.
        assert np.array_equal(declared.mask, declared.breast)
        assert np.count_nonzero(oblique.mask) < 0.98 * np.count_nonzero(oblique.breast)

    @pytest.mark.parametrize(
        ("name", "muscle"), [("CC", False), ("XCCL", False), ("MLO", True), ("ML", True), (None, True)]
    )
    def test_muscle_is_looked_for_on_all_but_craniocaudal_views(self, name: str | None, muscle: bool) -> None:
        assert View(name, 1.0, "file").shows_muscle is muscle

    @pytest.mark.parametrize(
        ("widths", "name"),
        [
            ([10 + round(90 * np.sin(np.pi * row / 199)) for row in range(200)], "CC"),
            ([round(60 + 40 * row / 140) if row < 140 else round(100 * (199 - row) / 60) for row in range(200)], "MLO"),
            # its top is as narrow as on craniocaudal films and its farthest place as low as on oblique ones
            ([round(32 + 68 * row / 140) if row < 140 else round(100 * (199 - row) / 60) for row in range(200)], None),
        ],
    )
    def test_a_shape_that_fits_neither_view_is_unknown(self, widths: list[int], name: str | None) -> None:
        view = view_of(upright(widths), None)
        assert view.name == name
        assert (view.score < 0.57) is (name is None)
