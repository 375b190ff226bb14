"""The traits of films, their distribution over the training films, and the index of what comes against it."""

import numpy as np
import pytest

from shared.modelling.drift import MIN_FILMS, PARTS, TraitsOfFilm, distribution, part_of, psi, traits_of


def films(count: int, seed: int, mean: float = 0.4) -> list[TraitsOfFilm]:
    values = np.random.default_rng(seed).normal(mean, 0.08, (count, 2)).clip(0, 1)
    return [TraitsOfFilm(brightness=float(a), breast_area=float(b)) for a, b in values]


def index_of(seen: list[TraitsOfFilm], trained: list[TraitsOfFilm]) -> float:
    deciles = distribution(trained)
    assert deciles
    parts = [part_of(film.brightness, deciles.brightness) for film in seen]
    return psi(np.bincount(parts, minlength=PARTS))


class TestPsi:
    def test_films_like_those_of_the_training_do_not_drift(self) -> None:
        assert index_of(films(500, 1), films(200, 2)) < 0.15

    def test_brighter_films_do(self) -> None:
        assert index_of(films(500, 1, mean=0.5), films(200, 2)) > 0.5

    def test_each_part_holds_a_tenth_of_the_training_films(self) -> None:
        trained = films(1000, 3)
        deciles = distribution(trained)
        assert deciles
        counts = np.bincount([part_of(film.breast_area, deciles.breast_area) for film in trained], minlength=PARTS)
        assert counts.tolist() == pytest.approx([100] * PARTS, abs=1)
        assert psi(counts) < 1e-3


class TestTraitsOf:
    @pytest.mark.parametrize(("kind", "bits", "level"), [(np.uint8, 8, 51), (np.uint16, 12, 819)])
    def test_traits_are_those_inside_the_mask_whatever_the_depth(self, kind: type, bits: int, level: int) -> None:
        film: np.ndarray = np.full((96, 80), 2**bits - 1, kind)
        mask = np.zeros((96, 80), np.uint8)
        film[:48, :40], mask[:48, :40] = level, 255
        assert traits_of(film, mask, bits).brightness == pytest.approx(0.2, abs=1e-4)
        assert traits_of(film, mask, bits).breast_area == 0.25

    @pytest.mark.parametrize("size", [(96, 80), (1002, 830)])
    def test_a_mask_that_was_drawn_at_half_the_size_tells_the_same(self, size: tuple[int, int]) -> None:
        rng = np.random.default_rng(1)
        film = rng.integers(0, 255, size, np.uint8)
        drawn = rng.choice(np.array([0, 255], np.uint8), (size[0] // 2, size[1] // 2))
        assert traits_of(film, drawn) == traits_of(film, drawn.repeat(2, axis=0).repeat(2, axis=1))

    def test_of_few_films_nothing_is_told(self) -> None:
        assert distribution(films(MIN_FILMS - 1, 4)) is None
