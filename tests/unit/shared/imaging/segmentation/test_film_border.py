"""White bars that scanners leave at the edges of a film are taken away, and nothing of a breast is."""

import numpy as np
import pytest

from shared.imaging.image import Grey
from shared.imaging.segmentation.film_border import without_bars


def film() -> Grey:
    """A breast at the left of a film (uint8, 256 x 200)."""
    y, x = np.mgrid[0:256, 0:200]
    return np.where((x / 120) ** 2 + ((y - 128) / 100) ** 2 < 1, 140, 6).astype(np.uint8)


class TestWithoutBars:
    @pytest.mark.parametrize("turns", range(4))
    def test_a_bar_at_any_edge_is_blackened(self, turns: int) -> None:
        barred = np.rot90(film(), turns).copy()
        expected = barred.copy()
        barred[:5] = 250
        cleaned = without_bars(barred)
        assert not cleaned[:5].any()
        assert np.array_equal(cleaned[8:], expected[8:])

    def test_a_bar_inside_black_padding_is_blackened(self) -> None:
        padded = np.zeros((256, 256), np.uint8)
        padded[:, 28:228] = film()
        padded[-6:, 28:228] = 255
        assert not without_bars(padded)[-6:].any()

    def test_a_film_without_bars_is_left_as_it_is(self) -> None:
        pixels = film()
        assert without_bars(pixels) is pixels
        tiny = np.full((4, 4), 200, np.uint8)
        assert without_bars(tiny) is tiny
