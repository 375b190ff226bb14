"""Augmentation in the loader: it moves and relights as the recipe says, draws the same again, and nothing unasked."""

import numpy as np
import pytest
import torch
from torch import Tensor

from services.train.data.jitter import JitterParameters, apply_jitter, draw_jitter
from shared.modelling.recipes import Jitter

SEED = (7, 1, 0)


def film(size: int = 64) -> Tensor:
    """Dark, with a bright square in the upper left part and a dim one below the middle."""
    pixels = torch.zeros(1, 1, size, size)
    pixels[..., 8:16, 4:12] = 0.8
    pixels[..., 40:48, 20:28] = 0.2
    return pixels


def moved(matrix: list[list[float]]) -> Tensor:
    return apply_jitter(film(), JitterParameters(np.array([matrix], np.float32), None, None))


class TestApplyJitter:
    def test_a_flip_exchanges_up_and_down_in_half_of_the_images_and_leaves_the_chest_wall_at_the_left(self) -> None:
        films = film().expand(200, 1, 64, 64)
        seen = apply_jitter(films, draw_jitter(Jitter(flip=True), 200, SEED))
        upright = [torch.allclose(one, film()[0], atol=1e-5) for one in seen]
        turned = [torch.allclose(one, film()[0].flip(1), atol=1e-5) for one in seen]
        assert all(one != other for one, other in zip(upright, turned, strict=True))
        assert 70 < sum(turned) < 130


class TestDrawJitter:
    def test_nothing_is_drawn_and_nothing_changed_by_default(self) -> None:
        draws = draw_jitter(Jitter(), 4, SEED)
        assert draws == JitterParameters(None, None, None)
        films = torch.rand(4, 1, 16, 16)
        assert apply_jitter(films, draws) is films

    def test_the_same_batch_draws_the_same_and_every_other_one_something_else(self) -> None:
        jitter = Jitter(rotation_deg=10, shift=0.1, scale=0.1, flip=True, brightness=0.2, contrast=0.2)
        first, again = draw_jitter(jitter, 8, SEED), draw_jitter(jitter, 8, SEED)
        for name in ("matrices", "gains", "exponents"):
            assert np.array_equal(getattr(first, name), getattr(again, name))
            for other in ((8, 1, 0), (7, 2, 0), (7, 1, 1)):
                assert not np.array_equal(getattr(first, name), getattr(draw_jitter(jitter, 8, other), name))

    def test_a_share_of_a_batch_is_jittered_as_it_is_within_the_whole(self) -> None:
        jitter, films = Jitter(rotation_deg=10, scale=0.1, brightness=0.2, contrast=0.3), torch.rand(6, 1, 32, 32)
        draws, own = draw_jitter(jitter, 6, SEED), np.array([1, 4])
        assert torch.equal(apply_jitter(films[own], draws.select(own)), apply_jitter(films, draws)[own])

    def test_what_stands_still_stays_where_it_is(self) -> None:
        assert torch.allclose(moved([[1, 0, 0], [0, 1, 0]]), film(), atol=1e-6)

    @pytest.mark.parametrize("size", [32, 64])
    def test_a_shift_is_a_part_of_the_edge(self, size: int) -> None:
        draws = draw_jitter(Jitter(shift=0.25), 500, SEED)
        assert draws.matrices is not None
        shifts = draws.matrices[:, :, 2] / 2 * size  # pixels
        assert np.abs(shifts).max() == pytest.approx(size / 4, rel=0.02)
        eighth = apply_jitter(
            film(size), JitterParameters(np.array([[[1, 0, 0.25], [0, 1, 0]]], np.float32), None, None)
        )
        assert torch.allclose(eighth[..., : -size // 8], film(size)[..., size // 8 :], atol=1e-5)

    def test_a_turn_by_a_right_angle_exchanges_rows_and_columns(self) -> None:
        assert torch.allclose(moved([[0, -1, 0], [1, 0, 0]]), torch.rot90(film(), 1, (2, 3)), atol=1e-5)
        draws = draw_jitter(Jitter(rotation_deg=30), 500, SEED)
        assert draws.matrices is not None
        angles = np.degrees(np.arctan2(draws.matrices[:, 1, 0], draws.matrices[:, 0, 0]))
        assert np.abs(angles).max() == pytest.approx(30, rel=0.02)
        assert np.allclose(np.linalg.det(draws.matrices[:, :, :2]), 1, atol=1e-5)

    def test_a_scale_magnifies_within_its_limits(self) -> None:
        draws = draw_jitter(Jitter(scale=0.2), 500, SEED)
        assert draws.matrices is not None
        magnified = 1 / draws.matrices[:, 0, 0]
        assert (magnified.min(), magnified.max()) == pytest.approx((0.8, 1.2), rel=0.01)
        assert (moved([[0.5, 0, 0], [0, 0.5, 0]]) > 0.1).sum() < 4 * (film() > 0.1).sum()  # the first square leaves it
        assert (moved([[0.5, 0, 0], [0, 0.5, 0]])[..., 40:, :] > 0.1).sum() == pytest.approx(4 * 64, rel=0.15)

    def test_grey_levels_change_by_gain_and_exponent_and_the_background_stays_dark(self) -> None:
        draws = draw_jitter(Jitter(brightness=0.3, contrast=0.4), 500, SEED)
        assert draws.gains is not None
        assert draws.exponents is not None
        assert (draws.gains.min(), draws.gains.max()) == pytest.approx((0.7, 1.3), rel=0.01)
        assert (draws.exponents.min(), draws.exponents.max()) == pytest.approx((0.6, 1.4), rel=0.01)
        seen = apply_jitter(film(), JitterParameters(None, np.array([1.5], np.float32), np.array([2.0], np.float32)))
        assert seen[0, 0, 10, 6] == pytest.approx(0.96)
        assert seen[0, 0, 44, 24] == pytest.approx(0.06)
        assert seen[film() == 0].max() == 0
        assert apply_jitter(film(), JitterParameters(None, np.array([2.0], np.float32), None)).max() == 1
