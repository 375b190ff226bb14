"""ROC curves, and areas and sensitivities of many resamples at once, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from shared.modelling.roc import BAND_RATES, ROC_POINTS, roc_curve, sensitivity_at, weighted_auc, with_band

RNG = np.random.default_rng(5)
POSITIVE = RNG.random(60) < 0.4
SCORES = (RNG.random(60) + 0.3 * POSITIVE).round(1)  # with ties
RESAMPLES = RNG.multinomial(60, np.full(60, 1 / 60), size=4).astype(np.float64)


class TestRocCurve:
    def test_it_is_thinned_and_keeps_its_ends(self) -> None:
        rng = np.random.default_rng(0)
        curve = roc_curve(rng.random(5000), rng.random(5000) < 0.3)
        assert curve is not None
        for rate in (curve.false_positive_rate, curve.true_positive_rate):
            assert len(rate) == ROC_POINTS
            assert (rate[0], rate[-1]) == (0.0, 1.0)
            assert list(rate) == sorted(rate)

    @pytest.mark.parametrize("value", [True, False])
    def test_of_one_class_there_is_none(self, value: bool) -> None:
        assert roc_curve(np.array([0.1, 0.2]), np.array([value, value])) is None

    def test_the_band_has_an_interval_at_each_rate_and_needs_resamples(self) -> None:
        curve = roc_curve(SCORES, POSITIVE)
        assert with_band(curve, SCORES, POSITIVE, RESAMPLES[:0]) is curve
        banded = with_band(curve, SCORES, POSITIVE, RESAMPLES)
        assert banded is not None
        assert [rate for rate, _, _ in banded.band] == list(BAND_RATES)
        assert all(0 <= low <= high <= 1 for _, low, high in banded.band)


class TestWeightedAuc:
    def test_each_row_is_the_area_with_that_many_copies_of_each_film(self) -> None:
        expected = [roc_auc_score(POSITIVE, SCORES, sample_weight=weights) for weights in RESAMPLES]
        assert weighted_auc(SCORES, POSITIVE, RESAMPLES) == pytest.approx(expected)

    def test_without_both_classes_it_is_undefined(self) -> None:
        assert np.isnan(weighted_auc(SCORES, np.zeros(60, bool), RESAMPLES)).all()


class TestSensitivityAt:
    @pytest.mark.parametrize("specificity", [0.8, 0.9, 1.0])
    def test_it_is_the_best_point_of_the_curve_at_or_above_the_specificity(self, specificity: float) -> None:
        for weights, found in zip(RESAMPLES, sensitivity_at(specificity, SCORES, POSITIVE, RESAMPLES), strict=True):
            alarms, hits, _ = sklearn_roc_curve(POSITIVE, SCORES, sample_weight=weights, drop_intermediate=False)
            assert found == pytest.approx(hits[alarms <= 1 - specificity + 1e-9].max())
