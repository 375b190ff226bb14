"""Temperatures, thresholds and bands keep what their docstrings promise of validation films, whatever the films."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import brier_score_loss, recall_score, roc_curve

from shared.modelling.calibration import (
    MIN_FILMS,
    OPERATING_POINTS,
    OperatingPointName,
    abnormal_score,
    brier_score,
    calibrate,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
    softmax,
    uncertain_band,
    verdict,
)

Array = np.ndarray[Any, Any]

TEMPERATURES = st.floats(0.05, 20)
FILMS = st.lists(st.tuples(st.sampled_from(np.linspace(0, 1, 11).tolist()), st.booleans()), min_size=1, max_size=60)


SHAPES = st.integers(1, 40).map(lambda films: (films, 3))
PROBABILITIES = arrays(np.float64, SHAPES, elements=st.floats(-30, 30)).map(softmax)


def log_loss(probabilities: Array, labels: Array) -> float:
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-300)).mean())


def films(count: int, seed: int = 0) -> tuple[Array, Array]:
    """Logits (n, 3), and labels that were drawn with the very probabilities of their softmax."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, 3))
    return logits, (rng.random((count, 1)) > softmax(logits).cumsum(axis=1)[:, :2]).sum(axis=1)


class TestTemperature:
    @pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
    def test_the_temperature_that_logits_were_spoilt_by_is_found(self, temperature: float) -> None:
        logits, labels = films(20_000)
        assert fit_temperature(softmax(logits * temperature), labels) == pytest.approx(temperature, rel=0.05)

    @pytest.mark.parametrize(("temperature", "bound"), [(1e3, 20.0), (1e-3, 0.05)])
    def test_the_temperature_stays_within_its_bounds(self, temperature: float, bound: float) -> None:
        logits, labels = films(200)
        assert fit_temperature(softmax(logits * temperature), labels) == pytest.approx(bound)

    @settings(deadline=None)
    @given(PROBABILITIES, st.integers(0, 2**32 - 1))
    def test_no_temperature_makes_the_validation_films_more_likely(self, probabilities: Array, seed: int) -> None:
        probabilities = np.concatenate([probabilities] * MIN_FILMS)
        labels = np.random.default_rng(seed).integers(0, 3, len(probabilities))
        assume(len(set(labels)) > 1 and (probabilities.argmax(axis=1) != labels).any())
        fitted = log_loss(calibrate(probabilities, fit_temperature(probabilities, labels)), labels)
        for other in (1.0, *np.geomspace(0.05, 20, 9)):
            assert fitted <= log_loss(calibrate(probabilities, other), labels) + 1e-9

    def test_too_few_films_are_left_as_they_are(self) -> None:
        logits, labels = films(MIN_FILMS)
        assert fit_temperature(softmax(4 * logits), labels) != 1.0
        assert fit_temperature(softmax(4 * logits[1:]), labels[1:]) == 1.0

    def test_films_of_one_class_are_left_as_they_are(self) -> None:
        logits, labels = films(100)
        assert fit_temperature(softmax(4 * logits), np.full_like(labels, 2)) == 1.0

    def test_a_network_that_makes_no_error_is_not_made_surer(self) -> None:
        logits, _ = films(100)
        right = logits.argmax(axis=1)
        assert fit_temperature(softmax(logits), right) == 1.0
        right[0] = (right[0] + 1) % 3
        assert fit_temperature(softmax(logits), right) < 1.0

    @settings(deadline=None)
    @given(PROBABILITIES, TEMPERATURES)
    def test_calibrated_rows_are_distributions_with_the_same_order_of_classes(
        self, probabilities: Array, temperature: float
    ) -> None:
        calibrated = calibrate(probabilities, temperature)
        assert calibrated.shape == probabilities.shape
        assert np.allclose(calibrated.sum(axis=1), 1)
        in_order = np.take_along_axis(calibrated, probabilities.argsort(axis=1), axis=1)
        assert (np.diff(in_order, axis=1) >= -1e-15).all()

    def test_the_temperature_1_changes_nothing_and_certainty_stays_certain(self) -> None:
        rows = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
        assert np.allclose(calibrate(rows, 1.0), rows, atol=1e-15)
        assert np.allclose(calibrate(rows[1:], 20.0), rows[1:], atol=1e-15)


def rates(scores: Array, abnormal: Array, threshold: float) -> tuple[float, float]:
    """Sensitivity and specificity by scikit-learn."""
    called = scores >= threshold
    return tuple(recall_score(abnormal, called, pos_label=label) for label in (True, False))


def split(found: list[tuple[float, bool]]) -> tuple[Array, Array]:
    return np.array([score for score, _ in found]), np.array([abnormal for _, abnormal in found])


class TestThresholds:
    def test_the_abnormal_score_is_what_is_left_of_normal(self) -> None:
        assert abnormal_score(np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])) == pytest.approx([0.3, 1.0])

    @settings(deadline=None)
    @given(FILMS)
    def test_screening_is_the_highest_threshold_that_finds_90_percent(self, found: list[tuple[float, bool]]) -> None:
        scores, abnormal = split(found)
        if 0 < abnormal.sum() < len(abnormal):
            threshold = choose_threshold("screening", scores, abnormal)
            assert rates(scores, abnormal, threshold)[0] >= 0.9
            assert all((scores[abnormal] >= higher).mean() < 0.9 for higher in scores[scores > threshold])

    @settings(deadline=None)
    @given(FILMS)
    def test_balanced_is_the_highest_youden_index_and_of_equal_ones_the_more_sensitive(
        self,
        found: list[tuple[float, bool]],
    ) -> None:
        scores, abnormal = split(found)
        if 0 < abnormal.sum() < len(abnormal):
            threshold = choose_threshold("balanced", scores, abnormal)
            alarms, hits, _ = roc_curve(abnormal, scores, drop_intermediate=False)
            sensitivity, specificity = rates(scores, abnormal, threshold)
            best = (hits - alarms).max()
            assert sensitivity + specificity - 1 == pytest.approx(best)
            assert sensitivity == pytest.approx(hits[np.isclose(hits - alarms, best)].max())

    def test_ninety_percent_is_met_exactly_and_not_by_one_film_more(self) -> None:
        scores = np.arange(1, 21) / 20
        abnormal = np.arange(20) >= 10
        assert choose_threshold("screening", scores, abnormal) == pytest.approx(0.6)

    def test_equal_scores_are_called_together(self) -> None:
        scores = np.array([0.2, 0.5, 0.5, 0.5, 0.5, 0.9])
        abnormal = np.array([False, False, True, True, True, True])
        assert choose_threshold("screening", scores, abnormal) == 0.5
        assert choose_threshold("balanced", scores, abnormal) == 0.5

    def test_of_two_thresholds_with_one_youden_index_the_lower_is_taken(self) -> None:
        scores = np.array([0.1, 0.4, 0.6, 0.9])
        abnormal = np.array([False, True, False, True])
        assert choose_threshold("balanced", scores, abnormal) == 0.4

    @pytest.mark.parametrize("name", OPERATING_POINTS)
    @pytest.mark.parametrize("abnormal", [True, False])
    def test_films_of_one_side_only_leave_the_threshold_in_the_middle(
        self, name: OperatingPointName, abnormal: bool
    ) -> None:
        assert choose_threshold(name, np.array([0.1, 0.2]), np.array([abnormal, abnormal])) == 0.5


class TestUncertainBand:
    def test_the_band_holds_a_tenth_of_the_films_on_each_side(self) -> None:
        scores = np.arange(100) / 100
        assert uncertain_band(0.5, scores[::-1]) == (0.40, 0.59)

    def test_a_side_with_fewer_films_gives_those_it_has(self) -> None:
        scores = np.arange(100) / 100
        assert uncertain_band(0.03, scores) == (0.0, 0.12)
        assert uncertain_band(0.99, scores) == (0.89, 0.99)

    def test_the_band_ends_at_the_threshold_where_no_film_lies_beyond(self) -> None:
        assert uncertain_band(0.5, np.array([0.6, 0.7])) == (0.5, 0.6)
        assert uncertain_band(0.5, np.array([0.2, 0.3])) == (0.3, 0.5)

    @settings(deadline=None)
    @given(FILMS)
    def test_the_band_encloses_the_threshold_and_at_least_a_tenth_of_the_films(
        self, found: list[tuple[float, bool]]
    ) -> None:
        scores, abnormal = split(found)
        for name in OPERATING_POINTS:
            threshold = choose_threshold(name, scores, abnormal)
            low, high = uncertain_band(threshold, scores)
            assert low <= threshold <= high
            assert ((scores >= low) & (scores <= high)).mean() >= 0.1


class TestFigures:
    def test_the_brier_score_agrees_with_scikit_learn(self) -> None:
        logits, labels = films(300)
        rows = softmax(logits)
        assert brier_score(rows, labels) == pytest.approx(
            brier_score_loss(labels, rows, labels=[0, 1, 2], scale_by_half=False)
        )
        assert brier_score(np.eye(3), np.arange(3)) == 0.0
        assert brier_score(np.eye(3), np.array([1, 2, 0])) == 2.0

    def test_the_expected_calibration_error_is_the_mean_gap_of_confidence_and_accuracy_by_bin(self) -> None:
        rows = np.array([[0.75, 0.25, 0.0], [0.75, 0.0, 0.25], [0.05, 0.95, 0.0], [0.0, 0.0, 1.0]])
        labels = np.array([0, 1, 1, 2])  # of the bin of 0.75 one of two is right, of the last bin both
        assert expected_calibration_error(rows, labels) == pytest.approx((2 * 0.25 + 2 * 0.025) / 4)

    def test_calibration_lowers_both_on_films_that_it_was_not_fitted_on(self) -> None:
        logits, labels = films(4000)
        rows = softmax(3 * logits)
        after = calibrate(rows[2000:], fit_temperature(rows[:2000], labels[:2000]))
        assert brier_score(after, labels[2000:]) < brier_score(rows[2000:], labels[2000:])
        assert (
            expected_calibration_error(after, labels[2000:])
            < 0.05
            < expected_calibration_error(rows[2000:], labels[2000:])
        )

    def test_softmax_survives_large_logits(self) -> None:
        logits = np.linspace(-1e4, 1e4, 24, dtype=np.float32).reshape(8, 3)
        assert softmax(logits).sum(axis=1) == pytest.approx([1] * 8)

    @given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5))
    def test_a_verdict_is_uncertain_within_the_band_and_else_follows_the_threshold(
        self, score: float, threshold: float, below: float, above: float
    ) -> None:
        low, high = threshold - below, threshold + above
        said = verdict(score, threshold, (low, high))
        assert (said == "uncertain") == (low <= score <= high)
        if said != "uncertain":
            assert (said == "abnormal") == (score > high)
