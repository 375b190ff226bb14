"""Regions of a film: the largest one, opening, growing, and how straight their borders are."""

import numpy as np
import pytest

from shared.errors import NotAMammogram
from shared.imaging.image import Grey
from shared.imaging.segmentation.regions import around, borders, grown, largest, opened, part_of_way, straight_shares


def mask(height: int, width: int, *boxes: tuple[int, int, int, int]) -> Grey:
    """1 within boxes of (top, bottom, left, right)."""
    found = np.zeros((height, width), np.uint8)
    for top, bottom, left, right in boxes:
        found[top:bottom, left:right] = 1
    return found


class TestLargest:
    def test_smaller_regions_are_left_out(self) -> None:
        found, contour = largest(mask(20, 20, (1, 4, 1, 4), (6, 18, 6, 18)))
        np.testing.assert_array_equal(found, mask(20, 20, (6, 18, 6, 18)))
        assert contour.reshape(-1, 2).min() == 6
        assert contour.reshape(-1, 2).max() == 17

    def test_holes_are_filled(self) -> None:
        ring = mask(20, 20, (2, 18, 2, 18))
        ring[8:12, 8:12] = 0
        np.testing.assert_array_equal(largest(ring)[0], mask(20, 20, (2, 18, 2, 18)))

    def test_where_there_is_none_the_reason_is_said(self) -> None:
        with pytest.raises(NotAMammogram, match="no breast here"):
            largest(mask(5, 5), "no breast here")


class TestOpened:
    def test_a_bridge_goes_and_what_it_joined_stays(self) -> None:
        found = opened(mask(60, 100, (10, 50, 5, 45), (10, 50, 55, 95), (29, 32, 45, 55)), 4)
        assert not found[:, 47:53].any()
        assert found[15:45, 10:40].all()
        assert found[15:45, 60:90].all()

    def test_the_edge_of_the_frame_counts_as_inside(self) -> None:
        np.testing.assert_array_equal(opened(mask(40, 40, (0, 40, 0, 20)), 5), mask(40, 40, (0, 40, 0, 20)))


class TestGrown:
    def test_a_point_becomes_an_octagon_of_the_radius(self) -> None:
        found = grown(mask(41, 41, (20, 21, 20, 21)), 10)
        rows, columns = np.nonzero(found)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 30, 10, 30)
        assert not found[10, 10]
        away = np.hypot(rows - 20, columns - 20)
        assert away.max() < 12
        assert found[np.hypot(*np.mgrid[-20:21, -20:21]) < 9].all()


class TestBorders:
    def test_each_row_has_its_first_and_its_last_column(self) -> None:
        stairs = mask(10, 12, (2, 5, 3, 6), (5, 8, 3, 9))
        rows, first, last = borders(*largest(stairs))
        assert rows.tolist() == [2, 3, 4, 5, 6, 7]
        assert first.tolist() == [3] * 6
        assert last.tolist() == [5] * 3 + [8] * 3


class TestStraightShares:
    def test_a_wall_is_straight_and_a_slope_is_not(self) -> None:
        triangle = np.tril(np.ones((80, 80), np.uint8))
        left, right = straight_shares(borders(*largest(triangle)), 80)
        assert left == 1
        assert right == pytest.approx(2 / 80)

    def test_the_band_grows_with_the_frame(self) -> None:
        triangle = np.tril(np.ones((80, 80), np.uint8))
        assert straight_shares(borders(*largest(triangle)), 800)[1] == pytest.approx(11 / 80)


class TestAround:
    def test_only_what_touches_the_region_is_left(self) -> None:
        outline = mask(9, 9, (4, 5, 0, 9))
        np.testing.assert_array_equal(around(outline, mask(9, 9, (5, 6, 3, 5))), mask(9, 9, (4, 5, 2, 6)))


class TestPartOfWay:
    @pytest.mark.parametrize(("value", "part"), [(2, 0), (1, 0), (3, 0.5), (4, 1), (9, 1)])
    def test_it_stays_between_0_and_1(self, value: float, part: float) -> None:
        assert part_of_way(value, (2, 4)) == part

    def test_limits_may_fall(self) -> None:
        assert part_of_way(0.25, (1, 0)) == 0.75
