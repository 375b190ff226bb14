"""Metrics of a network on held-out films, each with the uncertainty that comes from few patients.

`evaluate` computes accuracy, precision, recall, F1, areas under the ROC curve and the confusion matrix from predictions
for held-out films; all but the matrix have a 95% interval.

Conventions:
- The predicted class is the one with the highest probability; an exact tie goes to the less severe class.
- Precision, recall and F1 are 0.0 if their denominator is zero, as in scikit-learn with `zero_division=0`. Macro
  averages are over the classes of the held-out films, all three unless the data set has two. Balanced accuracy is over
  those that are present in a resample.
- An area under the ROC curve is None if one side has no films.
- Films of several folds are pooled before ranking. Each fold has its own network, so that differences of calibration
  between folds lower the pooled area.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from shared.domain.arrays import Float64Array, Int64Array
from shared.domain.records import CLASSES, Label, Record
from shared.modelling.bootstrap import Interval, Resamples, percentile_interval, ratio
from shared.modelling.predictions import FoldPredictions
from shared.modelling.roc import RankedCounts, RocCurve, roc_curve, with_band

CALIBRATION_BINS = 10
BAND_RESAMPLES = 200  # sufficient for a figure
BLOCK = 12_000_000  # weights in memory at a time (48 MB)


class ClassMetrics(Record):
    """One class against the two others."""

    support: int = Field(description="held-out films that are of this class")
    precision: Interval
    recall: Interval
    f1: Interval
    auc: Interval
    roc: RocCurve | None


class ModelMetrics(Record):
    """Metrics of a network under a protocol."""

    n_films: int = Field(description="each counted once, though it may have been judged in several divisions")
    n_patients: int
    accuracy: Interval
    balanced_accuracy: Interval
    macro_precision: Interval
    macro_recall: Interval
    macro_f1: Interval
    macro_auc: Interval = Field(description="mean of the one-vs-rest areas of the classes that the films have")
    abnormal_auc: Interval = Field(
        description="benign or malignant against normal, ranked by 1 - P(normal): the same area as normal-vs-rest"
    )
    malignant_at_80: Interval | None = Field(
        None,
        description="malignant films found where 80% of the others are told apart; None: not computed then",
    )
    malignant_at_90: Interval | None = Field(None, description="the same at 90%")
    brier: Interval | None = Field(None, description="mean squared distance to the truth, 0 to 2")
    ece: Interval | None = Field(None, description="expected calibration error, over ten bins")
    per_class: dict[str, ClassMetrics] = Field(description="by the value of the label")
    confusion: tuple[tuple[int, int, int], ...] = Field(
        description="rows are the truth, columns the prediction, both in the order of CLASSES"
    )


def evaluate(predictions: FoldPredictions, resamples: int = 1000, seed: int = 0) -> ModelMetrics:
    """Compute the metrics with 95% percentile bootstrap intervals by patient.

    Resamples in which a number is undefined are left out of its interval. With fewer than two patients there is no
    interval; if every prediction is correct the interval has no width, although the uncertainty is not zero.
    """
    truth, probabilities = predictions.truth, predictions.rows
    drawn = Resamples.of(predictions.patients, resamples, seed)
    point = _statistics(truth, probabilities, drawn.as_they_are)
    some, others = drawn.rows(0, BAND_RESAMPLES), drawn.rows(BAND_RESAMPLES, resamples)
    ranked = _ranked(truth, probabilities, some)
    parts = [
        _statistics(truth, probabilities, some, ranked),
        *(_statistics(truth, probabilities, block) for block in others.blocks(BLOCK)),
    ]

    def interval(name: str) -> Interval:
        return percentile_interval(float(point[name][0]), np.concatenate([part[name] for part in parts]))

    per_class = {
        label.value: ClassMetrics(
            support=int((truth == c).sum()),
            precision=interval(f"{label}_precision"),
            recall=interval(f"{label}_recall"),
            f1=interval(f"{label}_f1"),
            auc=interval(f"{label}_auc"),
            roc=with_band(roc_curve(probabilities[:, c], truth == c), ranked[c]),
        )
        for c, label in enumerate(CLASSES)
    }
    confusion = np.bincount(3 * truth + probabilities.argmax(axis=1), minlength=9).reshape(3, 3)
    return ModelMetrics(
        n_films=len(set(predictions.films)),
        n_patients=drawn.draws.shape[1],
        accuracy=interval("accuracy"),
        balanced_accuracy=interval("balanced_accuracy"),
        macro_precision=interval("macro_precision"),
        macro_recall=interval("macro_recall"),
        macro_f1=interval("macro_f1"),
        macro_auc=interval("macro_auc"),
        abnormal_auc=per_class[Label.NORMAL].auc,
        malignant_at_80=interval("malignant_at_80"),
        malignant_at_90=interval("malignant_at_90"),
        brier=interval("brier"),
        ece=interval("ece"),
        per_class=per_class,
        confusion=tuple((int(row[0]), int(row[1]), int(row[2])) for row in confusion),
    )


def abnormal_auc(predictions: FoldPredictions, resamples: int = 1000, seed: int = 0) -> Interval:
    """Compute the `abnormal_auc` of `evaluate` alone."""
    scores, positive = predictions.rows[:, CLASSES.index(Label.NORMAL)], ~predictions.abnormal
    drawn = Resamples.of(predictions.patients, resamples, seed).with_films_first
    areas = np.concatenate([RankedCounts.of(scores, positive, block).areas() for block in drawn.blocks(BLOCK)])
    return percentile_interval(float(areas[0]), areas[1:])


def auc_difference(one: FoldPredictions, other: FoldPredictions, resamples: int = 1000, seed: int = 0) -> Interval:
    """Compute the macro AUC of `other` minus that of `one` on the same films, their patients resampled together.

    The films may be in any order, and in other folds or in more divisions into folds than those of the other.
    """
    areas = []
    for part in map(_in_order, (one, other)):
        drawn = Resamples.of(part.patients, resamples, seed)  # the same draws: both have the same patients
        blocks = drawn.with_films_first.blocks(BLOCK)
        areas.append(np.concatenate([_statistics(part.truth, part.rows, block)["macro_auc"] for block in blocks]))
    first, second = areas
    return percentile_interval(float(second[0] - first[0]), (second - first)[1:])


def squared_distances(probabilities: Float64Array, labels: Int64Array) -> Float64Array:
    """Return each film's squared distance (n,) to the truth, the terms of the Brier score."""
    return np.asarray(((probabilities - np.eye(len(CLASSES))[labels]) ** 2).sum(axis=1))


def overconfidence(probabilities: Float64Array, labels: Int64Array) -> Float64Array:
    """Return each film's probability of the predicted class, minus 1 if the prediction is correct (n,)."""
    return np.asarray(probabilities.max(axis=1) - (probabilities.argmax(axis=1) == labels))


def confidence_bins(confidence: Float64Array) -> Int64Array:
    """Return the index of the bin, of ten equally wide ones, of each probability."""
    return np.minimum((CALIBRATION_BINS * confidence).astype(np.int64), CALIBRATION_BINS - 1)


def _in_order(predictions: FoldPredictions) -> FoldPredictions:
    """Sort the predictions by fold and film."""
    rows = zip(predictions.folds, predictions.films, range(len(predictions.films)), strict=True)
    return predictions.at([index for _, _, index in sorted(rows)])


def _ranked(truth: Int64Array, probabilities: Float64Array, resamples: Resamples) -> list[RankedCounts]:
    """Rank the films by the probability of each class."""
    return [RankedCounts.of(probabilities[:, c], truth == c, resamples) for c in range(len(CLASSES))]


def _statistics(
    truth: Int64Array, probabilities: Float64Array, resamples: Resamples, ranked: Sequence[RankedCounts] = ()
) -> dict[str, Float64Array]:
    """Compute every number (rows,) in every row of the resamples; `ranked` are their films, where they are known."""
    cell = np.eye(9, dtype=bool)[3 * truth + probabilities.argmax(axis=1)]
    confusion = resamples.sums(cell).reshape(-1, 3, 3)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    actual, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    recall = ratio(hits, actual)
    ranked = ranked or _ranked(truth, probabilities, resamples)
    by_class = {
        "precision": ratio(hits, predicted),
        "recall": recall,
        "f1": ratio(2 * hits, actual + predicted),
        "auc": np.stack([of_class.areas() for of_class in ranked], axis=1),
    }
    at_80, at_90 = ranked[CLASSES.index(Label.MALIGNANT)].sensitivities(80 / 100, 90 / 100)
    numbers = {
        "accuracy": hits.sum(axis=1) / actual.sum(axis=1),
        "balanced_accuracy": recall.sum(axis=1) / (actual > 0).sum(axis=1),
        "malignant_at_80": at_80,
        "malignant_at_90": at_90,
    }
    numbers |= _calibration(truth, probabilities, resamples)
    classes = np.unique(truth)
    for name, columns in by_class.items():
        numbers[f"macro_{name}"] = columns[:, classes].mean(axis=1)
        numbers |= {f"{label}_{name}": columns[:, c] for c, label in enumerate(CLASSES)}
    return numbers


def _calibration(truth: Int64Array, probabilities: Float64Array, resamples: Resamples) -> dict[str, Float64Array]:
    """Compute Brier score and expected calibration error (rows,), as defined in `calibration`."""
    bins = np.eye(CALIBRATION_BINS)[confidence_bins(probabilities.max(axis=1))]
    surplus = bins * overconfidence(probabilities, truth)[:, None]
    brier, *ece = resamples.sums(np.column_stack([squared_distances(probabilities, truth), surplus])).T
    total = resamples.sums(np.ones(len(truth), bool))
    brier, ece = brier / total, np.abs(ece).sum(axis=0) / total
    return {"brier": brier.round(12), "ece": ece.round(12)}  # further digits depend on the order of summation
