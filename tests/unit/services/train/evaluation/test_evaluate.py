"""The folds of a network put together: each calibrated and cut by its own validation films, judged on held-out ones."""

import numpy as np
import pytest

from services.train.evaluation.evaluate import evaluate_run
from services.train.evaluation.operating_points import published_points
from shared.domain.records import CLASSES
from shared.modelling.calibration import (
    OPERATING_POINTS,
    calibrate,
)
from shared.modelling.metrics import evaluate
from shared.modelling.predictions import merge
from tests.support.builders import job_result, small_manifest, small_plan
from tests.support.folds import HELD_OUT, VALIDATION, folds, judged

NORMAL, BENIGN, MALIGNANT = CLASSES


class TestEvaluateRun:
    def test_each_fold_is_cut_at_the_threshold_of_its_own_validation_films(self) -> None:
        screening, balanced = judged(*folds()).operating_points
        assert (screening.name, balanced.name) == OPERATING_POINTS
        # the thresholds of screening are 0.3 in the first fold and 0.7 in the second, those of balanced 0.6 and 0.8
        assert (screening.true_positives, screening.false_negatives) == (3 + 1, 0 + 2)
        assert (screening.true_negatives, screening.false_positives) == (1 + 3, 2 + 0)
        assert (balanced.true_positives, balanced.false_negatives) == (2 + 0, 1 + 3)
        assert (balanced.true_negatives, balanced.false_positives) == (2 + 3, 1 + 0)

    def test_sensitivity_and_specificity_are_those_of_the_counts_with_intervals_by_patient(self) -> None:
        for point in judged(*folds()).operating_points:
            found = point.sensitivity.value, point.specificity.value
            assert found == pytest.approx((point.true_positives / 6, point.true_negatives / 6))
            for interval in (point.sensitivity, point.specificity):
                assert interval.low is not None
                assert interval.high is not None
                assert interval.value is not None
                assert interval.low < interval.value < interval.high

    def test_thresholds_never_look_at_held_out_films(self) -> None:
        turned = HELD_OUT.model_copy(update={"labels": tuple(reversed(HELD_OUT.labels))})
        for before, after in zip(folds(), folds(predictions=turned), strict=True):
            points, again = judged(before).operating_points, judged(after).operating_points
            assert points != again
            for point, other in zip(points, again, strict=True):
                called = point.true_positives + point.false_positives
                assert called == other.true_positives + other.false_positives
            published, republished = published_points(before, points), published_points(after, again)
            for first, second in zip(published, republished, strict=True):
                assert (first.threshold, first.uncertain) == (second.threshold, second.uncertain)

    def test_what_is_judged_is_what_would_be_served(self) -> None:
        cold, warm = (
            result.model_copy(update={"temperature": t}) for result, t in zip(folds(), (0.5, 2.0), strict=True)
        )
        rows = [calibrate(result.predictions.rows, result.temperature) for result in (cold, warm)]
        served = merge([cold.predictions.with_rows(rows[0]), warm.predictions.with_rows(rows[1])])
        found = judged(cold, warm)
        assert found.metrics == evaluate(served)
        assert found.metrics != judged(*folds()).metrics
        assert found.calibration
        assert found.calibration.temperatures == (0.5, 2.0)
        onehot = np.eye(3)[served.truth]
        assert found.calibration.brier_after == pytest.approx(((served.rows - onehot) ** 2).sum(axis=1).mean())
        plain = merge([cold.predictions, warm.predictions]).rows
        assert found.calibration.brier_before == pytest.approx(((plain - onehot) ** 2).sum(axis=1).mean())

    def test_the_temperature_is_applied_before_a_threshold_is_chosen(self) -> None:
        (first, _), (hot, _) = folds(), folds(temperature=3.0)
        for plain, calibrated in zip(
            published_points(first, judged(first).operating_points),
            published_points(hot, judged(hot).operating_points),
            strict=True,
        ):
            row = np.array([[1 - plain.threshold, 0.75 * plain.threshold, 0.25 * plain.threshold]])
            assert calibrated.threshold == pytest.approx(1 - calibrate(row, 3.0)[0, 0])

    def test_the_leaky_protocol_is_calibrated_but_gets_no_operating_points(self) -> None:
        plan = small_plan(protocols=("paper",))
        leaky = job_result("resnet50/paper/fold-0", predictions=HELD_OUT, validation=VALIDATION, temperature=2.0)
        (result,) = evaluate_run(plan, small_manifest(), [leaky]).results
        assert result.operating_points == ()
        assert result.calibration is None
        assert result.metrics == evaluate(HELD_OUT.with_rows(calibrate(HELD_OUT.rows, 2.0)))
