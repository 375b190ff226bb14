"""Operating points: the thresholds that a published model's card gets, and the fold that they come from."""

import pytest

from services.train.evaluation.operating_points import best_fold, published_points
from tests.support.folds import folds, judged


class TestPublishedPoints:
    def test_a_card_gets_the_thresholds_of_its_fold_and_the_figures_of_all(self) -> None:
        published, other = folds()
        pooled = judged(published, other).operating_points
        screening, balanced = published_points(published, pooled)
        assert (screening.threshold, balanced.threshold) == pytest.approx((0.3, 0.6))
        assert screening.uncertain == pytest.approx((0.1, 0.3))
        assert balanced.uncertain == pytest.approx((0.5, 0.6))
        assert (screening.sensitivity, screening.specificity) == (pooled[0].sensitivity, pooled[0].specificity)
        assert (balanced.sensitivity, balanced.specificity) == (pooled[1].sensitivity, pooled[1].specificity)


class TestBestFold:
    def test_the_best_fold_is_chosen_by_validation_films(self) -> None:
        poor, good = folds()
        good = good.model_copy(update={"validation_auc": 0.8})
        assert best_fold([poor, good]) == good
        better = poor.model_copy(update={"validation_auc": 0.8, "validation_loss": 0.9})
        assert best_fold([good, better]) == better
