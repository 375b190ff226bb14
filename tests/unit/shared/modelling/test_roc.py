"""ROC curves, and areas and sensitivities of many resamples at once, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from shared.modelling.bootstrap import Resamples
from shared.modelling.roc import BAND_RATES, ROC_POINTS, RankedCounts, roc_curve, with_band

RNG = np.random.default_rng(5)
POSITIVE = RNG.random(60) < 0.4
SCORES = (RNG.random(60) + 0.3 * POSITIVE).round(1)  # with ties
PATIENTS = RNG.integers(0, 30, 60)
DRAWS = RNG.multinomial(30, np.full(30, 1 / 30), size=4).astype(np.uint16)
RESAMPLES = Resamples(DRAWS, PATIENTS)
WEIGHTS = DRAWS[:, PATIENTS]
TRUTHS = {"rare": POSITIVE & (RNG.random(60) < 0.2), "as many": POSITIVE, "common": ~POSITIVE | (RNG.random(60) < 0.8)}


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
        assert with_band(curve, RankedCounts.of(SCORES, POSITIVE, Resamples(DRAWS[:0], PATIENTS))) is curve
        banded = with_band(curve, RankedCounts.of(SCORES, POSITIVE, RESAMPLES))
        assert banded is not None
        assert [rate for rate, _, _ in banded.band] == list(BAND_RATES)
        assert all(0 <= low <= high <= 1 for _, low, high in banded.band)


@pytest.mark.parametrize("positive", TRUTHS.values(), ids=TRUTHS)
class TestRankedCounts:
    def test_each_area_is_that_with_so_many_copies_of_each_film(self, positive: np.ndarray) -> None:
        expected = [roc_auc_score(positive, SCORES, sample_weight=weights) for weights in WEIGHTS]
        assert RankedCounts.of(SCORES, positive, RESAMPLES).areas() == pytest.approx(expected)

    @pytest.mark.parametrize("specificity", [0.8, 0.9, 1.0])
    def test_a_sensitivity_is_the_best_point_of_the_curve_at_or_above_the_specificity(
        self, positive: np.ndarray, specificity: float
    ) -> None:
        (found,) = RankedCounts.of(SCORES, positive, RESAMPLES).sensitivities(specificity)
        for weights, sensitivity in zip(WEIGHTS, found, strict=True):
            alarms, hits, _ = sklearn_roc_curve(positive, SCORES, sample_weight=weights, drop_intermediate=False)
            assert sensitivity == pytest.approx(hits[alarms <= 1 - specificity + 1e-9].max())

    def test_there_are_few_bins_where_a_class_is_rare(self, positive: np.ndarray) -> None:
        rarer = min(positive.sum(), (~positive).sum())
        assert RankedCounts.of(SCORES, positive, RESAMPLES).above.shape[1] <= 2 * rarer + 1


@pytest.mark.parametrize("value", [True, False])
def test_of_one_class_area_and_sensitivity_are_undefined(value: bool) -> None:
    ranked = RankedCounts.of(SCORES, np.full(60, value), RESAMPLES)
    assert np.isnan(ranked.areas()).all()
    assert np.isnan(ranked.sensitivities(0.9)).all()
