"""Resamples of patients: what is summed over them is what counting film by film gives."""

import numpy as np
import pytest

from shared.modelling import bootstrap
from shared.modelling.bootstrap import Resamples

FILMS = 50
RANDOM = np.random.default_rng(2)
PATIENTS = tuple(f"p{number}" for number in RANDOM.integers(0, 20, FILMS))


@pytest.fixture
def resamples() -> Resamples:
    return Resamples.of(PATIENTS, 100, seed=1)


def weights(resamples: Resamples) -> np.ndarray:
    """How often each film counts, rows x films."""
    return resamples.draws[:, resamples.patient].astype(np.float64)


class TestResamples:
    def test_patients_are_drawn_with_replacement_as_many_as_there_are(self, resamples: Resamples) -> None:
        count = len(set(PATIENTS))
        assert resamples.draws.shape == (100, count)
        assert (resamples.draws.sum(axis=1) == count).all()
        expected = np.random.default_rng(1).multinomial(count, np.full(count, 1 / count), size=100)
        assert np.array_equal(resamples.draws, expected)

    def test_of_a_single_patient_there_are_none(self) -> None:
        assert Resamples.of(("p1", "p1"), 100, seed=1).draws.shape == (0, 1)

    @pytest.mark.parametrize("values", [RANDOM.random(FILMS), RANDOM.random((FILMS, 3)), RANDOM.random(FILMS) < 0.3])
    def test_sums_are_those_of_so_many_copies_of_each_film(self, resamples: Resamples, values: np.ndarray) -> None:
        assert resamples.sums(values) == pytest.approx(weights(resamples) @ values)

    @pytest.mark.parametrize("number", [5, 40])
    def test_counts_are_those_of_the_films_of_a_group(self, resamples: Resamples, number: int) -> None:
        groups = RANDOM.integers(0, number, FILMS)
        expected = weights(resamples) @ np.eye(number)[groups]
        assert np.array_equal(resamples.counts(groups, number), expected)

    def test_numbers_too_large_for_single_precision_are_counted_exactly(
        self, resamples: Resamples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        groups = RANDOM.integers(0, 40, FILMS)
        before = resamples.counts(groups, 40), resamples.sums(groups)
        monkeypatch.setattr(bootstrap, "_EXACT", 1)
        assert np.array_equal(resamples.counts(groups, 40), before[0])
        assert np.array_equal(resamples.sums(groups), before[1])
        assert resamples.sums(np.full(FILMS, 2**24 + 1))[0] == weights(resamples)[0].sum() * (2**24 + 1)

    def test_blocks_are_all_rows_in_order(self, resamples: Resamples) -> None:
        blocks = list(resamples.blocks(7 * FILMS))
        assert max(len(block.draws) for block in blocks) == 7
        assert np.array_equal(np.concatenate([block.draws for block in blocks]), resamples.draws)
        (empty,) = resamples.rows(0, 0).blocks()
        assert len(empty.draws) == 0
