"""How good a network is on films it was not trained on: every number with the uncertainty that comes from few patients.

`evaluate` takes the predictions for held-out films and gives accuracy, precision, recall, F1, areas under the ROC curve
and the confusion matrix, each headline number with a 95% interval.

Conventions:
- The predicted class is the one with the highest probability; an exact tie goes to the less severe class.
- Precision, recall and F1 are 0.0 where their denominator is zero, as in scikit-learn with `zero_division=0`, and macro
  averages are over all three classes. Balanced accuracy is over the classes that are present.
- An area under the ROC curve is None where one side has no films.
- Films of several folds are pooled before ranking. Each fold has its own network, so the pooled area also pays for
  differences of calibration between folds.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from pydantic import Field

from shared.domain.arrays import Float64Array
from shared.domain.records import CLASSES, Label, Record
from shared.modelling.predictions import Bools, FoldPredictions, Ints

ROC_POINTS = 200  # more can't be told apart in a picture
CALIBRATION_BINS = 10
BAND_RATES = tuple(step / 10 for step in range(11))
BAND_RESAMPLES = 200  # the band is looked at, not read
BLOCK = 4_000_000  # weights held at once (32 MB), so that augmented films by the ten thousand need no gigabytes


class Interval(Record):
    """A number and its 95% interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


class RocCurve(Record):
    """A ROC curve from (0, 0) to (1, 1), thinned to at most ROC_POINTS points."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    band: tuple[tuple[float, float, float], ...] = Field(
        (), description="false positive rate, and the 95% interval of the true positive rate there"
    )


class ClassMetrics(Record):
    """One class against the two others."""

    support: int = Field(description="held-out films that are of this class")
    precision: Interval
    recall: Interval
    f1: Interval
    auc: Interval
    roc: RocCurve | None


class ModelMetrics(Record):
    """Everything that is reported of a network under a protocol."""

    n_films: int = Field(description="each counted once, though it may have been judged in several divisions")
    n_patients: int
    accuracy: Interval
    balanced_accuracy: Interval
    macro_precision: Interval
    macro_recall: Interval
    macro_f1: Interval
    macro_auc: Interval = Field(description="mean of the three one-vs-rest areas")
    abnormal_auc: Interval = Field(
        description="benign or malignant against normal, ranked by 1 - P(normal): the same area as normal-vs-rest"
    )
    malignant_at_80: Interval | None = Field(
        None, description="malignant films found where 80% of the others are told apart; None: not worked out yet then"
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

    Patients are resampled, not films: the two films of a patient are alike, and counting them as independent would make
    the intervals too narrow (the cluster bootstrap; Field and Welsh, J. R. Statist. Soc. B 69, 2007). Resamples in
    which a number is undefined are left out of its interval. With fewer than two patients there is no interval, and
    if every film is correct the interval has no width, though the uncertainty is not nil.
    """
    truth, probabilities = predictions.truth, predictions.rows
    draws, patient = _draws(predictions.patients, resamples, seed)
    films = len(truth)

    point = _statistics(truth, probabilities, np.ones((1, films)))
    blocks = np.array_split(draws, ceil(resamples * films / BLOCK) or 1)
    parts = [_statistics(truth, probabilities, block[:, patient].astype(np.float64)) for block in blocks]

    some = draws[:BAND_RESAMPLES, patient].astype(np.float64)

    def interval(name: str) -> Interval:
        return _interval(float(point[name][0]), np.concatenate([part[name] for part in parts]))

    per_class = {
        label.value: ClassMetrics(
            support=int((truth == c).sum()),
            precision=interval(f"{label}_precision"),
            recall=interval(f"{label}_recall"),
            f1=interval(f"{label}_f1"),
            auc=interval(f"{label}_auc"),
            roc=_with_band(roc_curve(probabilities[:, c], truth == c), probabilities[:, c], truth == c, some),
        )
        for c, label in enumerate(CLASSES)
    }
    confusion = np.bincount(3 * truth + probabilities.argmax(axis=1), minlength=9).reshape(3, 3)
    return ModelMetrics(
        n_films=len(set(predictions.films)),
        n_patients=draws.shape[1],
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


def share(part: Bools, whole: Bools, patients: Sequence[str], resamples: int = 1000, seed: int = 0) -> Interval:
    """Return the share of the films of `whole` (n,) that are also in `part` (n,).

    Interval and conventions are those of `evaluate`; None if `whole` is empty.
    """
    draws, patient = _draws(patients, resamples, seed)
    weights = np.vstack([np.ones(draws.shape[1]), draws])  # the first row is the films as they are
    found = _ratio(weights @ np.bincount(patient, part & whole), weights @ np.bincount(patient, whole), empty=np.nan)
    return _interval(float(found[0]), found[1:])


def auc_difference(one: FoldPredictions, other: FoldPredictions, resamples: int = 1000, seed: int = 0) -> Interval:
    """Macro AUC of `other` less that of `one`, of the same films in any order; resampled together, by patient."""
    parts = [_in_order(predictions) for predictions in (one, other)]
    draws, patient = _draws(parts[0].patients, resamples, seed)
    weights = np.vstack([np.ones(draws.shape[1]), draws])[:, patient]
    first, second = (_statistics(part.truth, part.rows, weights)["macro_auc"] for part in parts)
    return _interval(float(second[0] - first[0]), (second - first)[1:])


def roc_curve(scores: Float64Array, positive: Bools) -> RocCurve | None:
    """Compute the ROC curve of scores (n,) against the truth (n,).

    None if one class has no films.
    """
    if positive.all() or not positive.any():
        return None
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    hits = np.append(0, np.cumsum(positive[order])[last_of_tie])
    alarms = np.append(0, np.cumsum(~positive[order])[last_of_tie])
    kept = np.unique(np.linspace(0, len(hits) - 1, ROC_POINTS).round().astype(int))
    return RocCurve(
        false_positive_rate=tuple((alarms[kept] / alarms[-1]).tolist()),
        true_positive_rate=tuple((hits[kept] / hits[-1]).tolist()),
    )


def confidence_bins(confidence: Float64Array) -> Ints:
    """Return the index of the bin, of ten equally wide ones, of each probability."""
    return np.minimum((CALIBRATION_BINS * confidence).astype(np.int64), CALIBRATION_BINS - 1)


def _in_order(predictions: FoldPredictions) -> FoldPredictions:
    """Sort the predictions by fold and film."""
    rows = zip(predictions.folds, predictions.films, range(len(predictions.films)), strict=True)
    return predictions.at([index for _, _, index in sorted(rows)])


def _with_band(curve: RocCurve | None, scores: Float64Array, positive: Bools, weights: Float64Array) -> RocCurve | None:
    if curve is None or not len(weights):
        return curve
    band = []
    for rate in BAND_RATES:
        found = _interval(0.0, _sensitivity_at(1 - rate, scores, positive, weights))
        if found.low is not None and found.high is not None:
            band.append((rate, found.low, found.high))
    return curve.model_copy(update={"band": tuple(band)})


def _draws(patients: Sequence[str], resamples: int, seed: int) -> tuple[Ints, Ints]:
    """Return counts of each patient per resample, and each film's patient (n,).

    Counts are resamples x patients; there are no resamples of a single patient.
    """
    names, patient = np.unique(patients, return_inverse=True)
    count = len(names)
    size = resamples if count > 1 else 0
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=size), patient


def _statistics(truth: Ints, probabilities: Float64Array, weights: Float64Array) -> dict[str, Float64Array]:
    """Every number for every row of `weights`: how often each of n films counts, (rows, n). Values are (rows,)."""
    cell = np.eye(9)[3 * truth + probabilities.argmax(axis=1)]
    confusion = (weights @ cell).reshape(-1, 3, 3)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    actual, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    recall = _ratio(hits, actual)
    by_class = {
        "precision": _ratio(hits, predicted),
        "recall": recall,
        "f1": _ratio(2 * hits, actual + predicted),
        "auc": np.stack([_auc(probabilities[:, c], truth == c, weights) for c in range(3)], axis=1),
    }
    numbers = {
        "accuracy": hits.sum(axis=1) / actual.sum(axis=1),
        "balanced_accuracy": recall.sum(axis=1) / (actual > 0).sum(axis=1),
    }
    malignant = CLASSES.index(Label.MALIGNANT)
    for percent in (80, 90):
        numbers[f"malignant_at_{percent}"] = _sensitivity_at(
            percent / 100, probabilities[:, malignant], truth == malignant, weights
        )
    numbers |= _calibration(truth, probabilities, weights)
    for name, columns in by_class.items():
        numbers[f"macro_{name}"] = columns.mean(axis=1)
        numbers |= {f"{label}_{name}": columns[:, c] for c, label in enumerate(CLASSES)}
    return numbers


def _auc(scores: Float64Array, positive: Bools, weights: Float64Array) -> Float64Array:
    """Area under the ROC curve (rows,) by the Mann-Whitney count, ties as one half; NaN where one side is empty."""
    order = np.argsort(scores, kind="stable")
    ties = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
    ordered = weights[:, order]
    above = np.add.reduceat(ordered * positive[order], ties, axis=1)
    below = np.add.reduceat(ordered * ~positive[order], ties, axis=1)
    wins = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
    return _ratio(wins, above.sum(axis=1) * below.sum(axis=1), empty=np.nan)


def _sensitivity_at(specificity: float, scores: Float64Array, positive: Bools, weights: Float64Array) -> Float64Array:
    """Return the largest sensitivity (rows,) at a specificity; NaN for one class only."""
    order = np.argsort(-scores, kind="stable")
    ties = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
    ordered = weights[:, order]
    found = np.cumsum(np.add.reduceat(ordered * positive[order], ties, axis=1), axis=1)
    alarms = np.cumsum(np.add.reduceat(ordered * ~positive[order], ties, axis=1), axis=1)
    allowed = alarms <= (1 - specificity) * alarms[:, -1:] + 1e-9
    best = np.where(allowed, found, 0).max(axis=1)
    return np.where(alarms[:, -1] > 0, _ratio(best, found[:, -1], empty=np.nan), np.nan)


def _calibration(truth: Ints, probabilities: Float64Array, weights: Float64Array) -> dict[str, Float64Array]:
    """Brier score and expected calibration error (rows,), as `calibration` defines them."""
    distance = ((probabilities - np.eye(len(CLASSES))[truth]) ** 2).sum(axis=1)
    confidence = probabilities.max(axis=1)
    surplus = confidence - (probabilities.argmax(axis=1) == truth)
    bins = np.eye(CALIBRATION_BINS)[confidence_bins(confidence)]
    total = weights.sum(axis=1)
    brier, ece = weights @ distance / total, abs(weights @ (bins * surplus[:, None])).sum(axis=1) / total
    return {"brier": brier.round(12), "ece": ece.round(12)}  # beyond that the order of the sums would be seen


def _ratio(part: Float64Array, whole: Float64Array, empty: float = 0.0) -> Float64Array:
    quotient = np.full(part.shape, empty)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient


def _interval(value: float, spread: Float64Array) -> Interval:
    defined = spread[~np.isnan(spread)]
    if np.isnan(value) or not defined.size:
        return Interval(value=None if np.isnan(value) else value, low=None, high=None)
    low, high = np.percentile(defined, (2.5, 97.5)).tolist()
    return Interval(value=value, low=low, high=high)
