"""The scores of an epoch, by hand and as scikit-learn has them."""

import numpy as np
import pytest
from sklearn import metrics

from services.train.fitting.scores import log_loss, macro_auc

RNG = np.random.default_rng(0)
LABELS = np.arange(60, dtype=np.int64) % 3
ROWS = RNG.dirichlet((1, 1, 1), 60)


class TestLogLoss:
    def test_it_is_the_mean_of_the_negative_logarithms(self) -> None:
        rows = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
        assert log_loss(rows, np.array([0, 1])) == pytest.approx(np.log(2) / 2)

    def test_it_agrees_with_scikit_learn(self) -> None:
        assert log_loss(ROWS, LABELS) == pytest.approx(metrics.log_loss(LABELS, ROWS))

    def test_weights_count_the_films_of_a_class_more(self) -> None:
        rows, weights = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]), np.array([3, 1, 1], np.float32)
        assert log_loss(rows, np.array([0, 1]), weights) == pytest.approx(3 * np.log(2) / 4)

    def test_a_class_that_was_ruled_out_costs_much_and_not_infinitely_much(self) -> None:
        assert log_loss(np.array([[0.0, 1.0, 0.0]]), np.array([0])) == pytest.approx(-np.log(1e-12))


class TestMacroAuc:
    def test_it_agrees_with_scikit_learn(self) -> None:
        assert macro_auc(LABELS, ROWS) == pytest.approx(metrics.roc_auc_score(LABELS, ROWS, multi_class="ovr"))

    def test_it_is_1_where_every_class_is_ranked_first_and_a_half_where_all_films_are_alike(self) -> None:
        assert macro_auc(LABELS, np.eye(3)[LABELS]) == 1.0
        assert macro_auc(LABELS, np.full((60, 3), 1 / 3)) == 0.5

    @pytest.mark.parametrize("labels", [[0, 0, 1], [2, 2, 2]], ids=str)
    def test_it_is_undefined_where_a_class_has_no_film(self, labels: list[int]) -> None:
        assert macro_auc(np.array(labels), ROWS[:3]) is None
