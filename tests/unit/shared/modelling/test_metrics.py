"""Metrics against scikit-learn, and the bootstrap against what is known of resampling by patient."""

import time

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)
from sklearn.metrics import roc_curve as sklearn_roc_curve

from shared.domain.records import CLASSES
from shared.modelling import metrics
from shared.modelling.bootstrap import Interval, share
from shared.modelling.calibration import brier_score, expected_calibration_error
from shared.modelling.metrics import ModelMetrics, abnormal_auc, evaluate
from shared.modelling.predictions import FoldPredictions, merge


def random_predictions(
    seed: int = 0, films: int = 322, classes: tuple[int, ...] = (0, 1, 2), decimals: int = 16, copies: int = 1
) -> FoldPredictions:
    """Two films a patient; few decimals make ties; `copies` repeats each film under the same patient."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, size=films)
    rows = rng.dirichlet((1, 1, 1), size=films) + 0.4 * np.eye(3)[truth]
    rows = (rows / rows.sum(axis=1, keepdims=True)).round(decimals)
    rows[:, 2] = 1 - rows[:, 0] - rows[:, 1]
    rows[:, 2] = rows[:, 2].round(decimals).clip(0)
    numbers = [film for film in range(films) for _ in range(copies)]
    return FoldPredictions(
        films=tuple(f"film{n:03}" for n in numbers),
        patients=tuple(f"patient{n // 2:03}" for n in numbers),
        labels=tuple(CLASSES[truth[n]] for n in numbers),
        probabilities=tuple((rows[n, 0], rows[n, 1], rows[n, 2]) for n in numbers),
        folds=tuple(n // 2 % 5 for n in numbers),
    )


def arrays(predictions: FoldPredictions) -> tuple[np.ndarray, np.ndarray]:
    return np.array([CLASSES.index(label) for label in predictions.labels]), np.array(predictions.probabilities)


def intervals(found: ModelMetrics) -> list[Interval]:
    own = [value for _, value in found if isinstance(value, Interval)]
    return own + [value for part in found.per_class.values() for _, value in part if isinstance(value, Interval)]


def width(interval: Interval) -> float:
    assert interval.low is not None
    assert interval.high is not None
    return interval.high - interval.low


class TestEvaluate:
    @pytest.mark.parametrize(
        ("films", "classes", "decimals"),
        [
            (322, (0, 1, 2), 16),
            (322, (0, 1, 2), 1),
            (40, (0, 1), 1),
            (40, (1, 2), 16),
            (7, (0, 1, 2), 0),
            (12, (2,), 1),
        ],
        ids=["continuous", "ties", "no malignant", "no normal", "few films", "one class"],
    )
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_agrees_with_scikit_learn(self, seed: int, films: int, classes: tuple[int, ...], decimals: int) -> None:
        predictions = random_predictions(seed, films, classes, decimals)
        truth, probabilities = arrays(predictions)
        predicted = probabilities.argmax(axis=1)
        found = evaluate(predictions, resamples=20)

        assert found.n_films == films
        assert found.n_patients == (films + 1) // 2
        assert found.confusion == tuple(map(tuple, confusion_matrix(truth, predicted, labels=[0, 1, 2])))
        assert found.accuracy.value == pytest.approx(accuracy_score(truth, predicted))
        recalls = [(predicted[truth == c] == c).mean() for c in np.unique(truth)]
        assert found.balanced_accuracy.value == pytest.approx(np.mean(recalls))
        if len(np.unique(truth)) == 3:
            assert found.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(truth, predicted))

        expected = precision_recall_fscore_support(truth, predicted, labels=[0, 1, 2], zero_division=0.0)
        for c, label in enumerate(CLASSES):
            part = found.per_class[label]
            assert (part.precision.value, part.recall.value, part.f1.value, part.support) == pytest.approx(
                tuple(float(numbers[c]) for numbers in expected)
            )
            if 0 < (truth == c).sum() < films:
                assert part.auc.value == pytest.approx(roc_auc_score(truth == c, probabilities[:, c]))
                assert part.roc is not None
                area = np.trapezoid(part.roc.true_positive_rate, part.roc.false_positive_rate)
                assert area == pytest.approx(part.auc.value, abs=0.01)
            else:
                assert part.auc == Interval(value=None, low=None, high=None)
                assert part.roc is None

        macro = precision_recall_fscore_support(
            truth, predicted, labels=np.unique(truth), average="macro", zero_division=0.0
        )
        assert found.macro_precision.value == pytest.approx(macro[0])
        assert found.macro_recall.value == pytest.approx(macro[1])
        assert found.macro_f1.value == pytest.approx(macro[2])
        if len(np.unique(truth)) > 1:
            areas = [roc_auc_score(truth == c, probabilities[:, c]) for c in np.unique(truth)]
            assert found.macro_auc.value == pytest.approx(np.mean(areas))
        else:
            assert found.macro_auc.value is None
        if 0 < (truth == 0).sum() < films:
            assert found.abnormal_auc.value == pytest.approx(roc_auc_score(truth > 0, 1 - probabilities[:, 0]))

    def test_intervals_hold_their_value_and_repeat_with_the_seed(self) -> None:
        predictions = random_predictions()
        found = evaluate(predictions, resamples=200, seed=3)
        for interval in intervals(found):
            assert interval.value is not None
            assert interval.low is not None
            assert interval.high is not None
            assert 0 <= interval.low < interval.value < interval.high <= 1
        assert evaluate(predictions, resamples=200, seed=3) == found
        assert evaluate(predictions, resamples=200, seed=4) != found

    def test_the_bootstrap_resamples_patients_and_not_films(self) -> None:
        """Copies of a patient's films are no new evidence: the interval must not shrink, as it would by film."""
        once, copied = random_predictions(copies=1), random_predictions(copies=8)
        by_patient = evaluate(copied)
        assert by_patient.accuracy.value == pytest.approx(evaluate(once, resamples=1).accuracy.value)

        as_if_independent = copied.model_copy(update={"patients": tuple(map(str, range(len(copied.films))))})
        by_film = evaluate(as_if_independent)
        assert width(by_patient.accuracy) > 2 * width(by_film.accuracy)
        assert width(by_patient.macro_auc) > 2 * width(by_film.macro_auc)

    def test_the_interval_of_accuracy_is_that_of_a_proportion(self) -> None:
        predictions = random_predictions().model_copy(update={"patients": tuple(map(str, range(322)))})
        found = evaluate(predictions, resamples=4000).accuracy
        assert found.value is not None
        assert width(found) == pytest.approx(2 * 1.96 * (found.value * (1 - found.value) / 322) ** 0.5, rel=0.1)

    def test_a_share_has_the_interval_that_the_recall_of_a_class_has(self) -> None:
        predictions = random_predictions()
        truth, probabilities = arrays(predictions)
        evaluated = evaluate(predictions)
        for c, label in enumerate(CLASSES):
            found = share(probabilities.argmax(axis=1) == c, truth == c, predictions.patients)
            recall = evaluated.per_class[label].recall
            assert found.value == pytest.approx(recall.value)
            assert (found.low, found.high) == pytest.approx((recall.low, recall.high))

    def test_a_share_of_no_films_is_undefined(self) -> None:
        everything, nothing = np.array([True, True]), np.array([False, False])
        assert share(everything, nothing, ("p1", "p2")) == Interval(value=None, low=None, high=None)
        assert share(nothing, everything, ("p1", "p2")).value == 0.0

    def test_blocks_do_not_change_the_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = evaluate(random_predictions(), resamples=50)
        monkeypatch.setattr(metrics, "BLOCK", 1000)
        assert evaluate(random_predictions(), resamples=50) == whole

    def test_one_patient_has_numbers_but_no_intervals(self) -> None:
        found = evaluate(random_predictions(films=2, classes=(1, 2)))
        assert found.accuracy.value is not None
        assert all(interval.low is None and interval.high is None for interval in intervals(found))

    @pytest.mark.parametrize("classes", [(0, 1, 2), (0, 1), (1, 2), (0,)])
    def test_the_area_of_abnormal_films_alone_is_the_same(self, classes: tuple[int, ...]) -> None:
        predictions = random_predictions(films=60, classes=classes, decimals=1)
        assert abnormal_auc(predictions) == evaluate(predictions).abnormal_auc

    def test_survives_json(self) -> None:
        found = evaluate(random_predictions(films=12, classes=(0, 1)), resamples=50)
        assert ModelMetrics.model_validate_json(found.model_dump_json()) == found

    def test_the_whole_data_set_is_evaluated_within_three_seconds(self) -> None:
        predictions = random_predictions()
        start = time.perf_counter()
        evaluate(predictions, resamples=1000)
        assert time.perf_counter() - start < 3

    @pytest.mark.parametrize("decimals", [16, 1])
    @pytest.mark.parametrize("percent", [80, 90])
    def test_sensitivity_at_a_specificity_is_the_best_point_of_the_roc_curve(self, percent: int, decimals: int) -> None:
        predictions = random_predictions(2, decimals=decimals)
        truth, probabilities = arrays(predictions)
        alarms, found, _ = sklearn_roc_curve(truth == 2, probabilities[:, 2], drop_intermediate=False)
        best = found[alarms <= 1 - percent / 100 + 1e-9].max()
        interval = getattr(evaluate(predictions, resamples=100), f"malignant_at_{percent}")
        assert interval.value == pytest.approx(best)
        assert interval.low < interval.value < interval.high

    def test_sensitivity_is_undefined_without_malignant_films(self) -> None:
        assert evaluate(random_predictions(classes=(0, 1)), resamples=10).malignant_at_80 == Interval(
            value=None, low=None, high=None
        )

    def test_brier_score_and_calibration_error_are_those_of_the_calibration_with_intervals(self) -> None:
        predictions = random_predictions(4)
        truth, probabilities = arrays(predictions)
        found = evaluate(predictions, resamples=100)
        for interval, value in (
            (found.brier, brier_score(probabilities, truth)),
            (found.ece, expected_calibration_error(probabilities, truth)),
        ):
            assert interval is not None
            assert interval.value == pytest.approx(value)
            assert width(interval) > 0

    def test_a_film_that_was_judged_twice_counts_once(self) -> None:
        once = random_predictions(films=40)
        twice = evaluate(merge([once, once]), resamples=100)
        alone = evaluate(once, resamples=100)
        assert (twice.n_films, twice.n_patients) == (40, 20)
        assert twice.accuracy == alone.accuracy  # and no narrower an interval
        assert twice.macro_auc == alone.macro_auc
