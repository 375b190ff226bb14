"""Calibration of probabilities, and thresholds that turn them into decisions.

Both are fitted on validation films, on which no network is trained or evaluated. A film's abnormal score is
1 - P(normal); the film is called abnormal if its score is at least the threshold of the operating point in use:

- `screening`: the highest threshold whose sensitivity on the validation films is at least 0.90;
- `balanced`: the largest sum of sensitivity and specificity on the validation films (Youden, Cancer 3, 1950); of equal
  ones that with the higher sensitivity.

A film whose score is near the threshold, within `uncertain_band`, is uncertain: it needs a reader.
Probabilities are float64 n x 3 in the order of CLASSES, labels int64 (n,) index CLASSES.
"""

from math import ceil, exp, log
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from shared.domain.arrays import BoolArray, Float64Array, Int64Array
from shared.domain.records import CLASSES, Label, Record
from shared.modelling.bootstrap import Interval
from shared.modelling.metrics import confidence_bins, overconfidence, squared_distances

OperatingPointName = Literal["screening", "balanced"]
OPERATING_POINTS: tuple[OperatingPointName, ...] = ("screening", "balanced")
Verdict = Literal["normal", "abnormal", "uncertain"]
"""Uncertain: needs a reader."""

MIN_FILMS = 20  # with fewer, the temperature would follow the chance of the draw
_COLDEST, _HOTTEST = 0.05, 20.0
_HALVINGS = 50
_SCREENING_SENSITIVITY = 0.90
_BAND_PARTS = 10  # a tenth of the validation films on each side
_UNDECIDED = 0.5


class OperatingPoint(Record):
    """A threshold on the abnormal score, and its metrics on held-out films."""

    name: OperatingPointName
    threshold: float = Field(description="of the published weights, on calibrated probabilities")
    uncertain: tuple[float, float] = Field(description="scores from the first to the second need a reader")
    sensitivity: Interval = Field(description="part of the abnormal held-out films called abnormal, all folds together")
    specificity: Interval = Field(description="part of the normal held-out films called normal, all folds together")


def fit_temperature(probabilities: Float64Array, labels: Int64Array) -> float:
    """Fit the temperature that maximises the likelihood of validation labels.

    Source: Guo et al., ICML 2017. The result is between 0.05 and 20. It is 1.0, which changes nothing, with fewer than
    MIN_FILMS films, with films of one class only, and if all predictions are correct: without an error the likelihood
    grows without bound.
    """
    if len(labels) < MIN_FILMS or len(np.unique(labels)) == 1 or (probabilities.argmax(axis=1) == labels).all():
        return 1.0
    logits = _logs(probabilities)
    own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    low, high = log(_COLDEST), log(_HOTTEST)
    # the negative log-likelihood is convex in 1 / T: where it rises with 1 / T, the best T is higher
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slope = ((calibrate(probabilities, exp(middle)) * logits).sum(axis=1) - own).mean()
        low, high = (middle, high) if slope > 0 else (low, middle)
    return exp((low + high) / 2)


def softmax(logits: "npt.NDArray[np.floating]") -> Float64Array:
    """Compute the softmax along the last axis, in double precision."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def calibrate(probabilities: Float64Array, temperature: float) -> Float64Array:
    """Divide the logits by `temperature` and apply softmax, n x 3.

    Each row sums to 1 and keeps the order of its classes.
    """
    return softmax(_logs(probabilities) / temperature)


def abnormal_score(probabilities: Float64Array) -> Float64Array:
    """Compute 1 - P(normal), (n,)."""
    return np.asarray(1 - probabilities[:, CLASSES.index(Label.NORMAL)])


def verdict(score: float, threshold: float, uncertain: tuple[float, float]) -> Verdict:
    """Return the decision for an abnormal score at an operating point."""
    low, high = uncertain
    if low <= score <= high:
        return "uncertain"
    return "abnormal" if score >= threshold else "normal"


def choose_threshold(name: OperatingPointName, scores: Float64Array, abnormal: BoolArray) -> float:
    """Choose the threshold of an operating point among validation scores (n,).

    It is 0.5 if all films are `abnormal` (n,) or none is, because no threshold is better then.
    """
    if abnormal.all() or not abnormal.any():
        return _UNDECIDED
    thresholds = np.unique(scores)
    hits = abnormal.sum() - np.searchsorted(np.sort(scores[abnormal]), thresholds)
    alarms = (~abnormal).sum() - np.searchsorted(np.sort(scores[~abnormal]), thresholds)
    if name == "screening":
        return float(thresholds[hits / hits[0] >= _SCREENING_SENSITIVITY][-1])
    youden = hits * alarms[0] - alarms * hits[0]  # in whole numbers, so that equal ones are equal
    return float(thresholds[youden.argmax()])


def uncertain_band(threshold: float, scores: Float64Array) -> tuple[float, float]:
    """Return the range of scores of the validation films next to the threshold.

    It contains a tenth of all films on each side, or all of them if a side has fewer, and ends at the threshold if a
    side has none.
    """
    count = ceil(len(scores) / _BAND_PARTS)
    below = np.sort(scores[scores < threshold])[-count:]
    above = np.sort(scores[scores >= threshold])[:count]
    return min(below.tolist(), default=threshold), max(above.tolist(), default=threshold)


def brier_score(probabilities: Float64Array, labels: Int64Array) -> float:
    """Return the Brier score over all classes, from 0 to 2.

    It is the mean squared distance to the truth (Brier, Mon. Weather Rev. 78, 1950).
    """
    return float(squared_distances(probabilities, labels).mean())


def expected_calibration_error(probabilities: Float64Array, labels: Int64Array) -> float:
    """Return the expected calibration error over ten equally wide bins.

    It is the distance of the predicted class's probability from its accuracy (Guo et al., ICML 2017).
    """
    bins = confidence_bins(probabilities.max(axis=1))
    return float(abs(np.bincount(bins, weights=overconfidence(probabilities, labels))).sum() / len(labels))


def reliability(probabilities: Float64Array, labels: Int64Array) -> tuple[tuple[float, float, int], ...]:
    """Return mean confidence, accuracy and number of films of each non-empty bin."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = confidence_bins(confidence)
    return tuple(
        (float(confidence[bins == each].mean()), float(right[bins == each].mean()), int((bins == each).sum()))
        for each in np.unique(bins).tolist()
    )


def _logs(probabilities: Float64Array) -> Float64Array:
    """Return logits up to a constant in each row."""
    return np.asarray(np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)))
