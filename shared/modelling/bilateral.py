"""Comparison of a film with the same view of the other breast.

Both breasts of a woman are much alike, and a lesion is mostly in one of them: radiologists compare the two films. So a
part of the other film's log-odds against normal is subtracted from the film's own. Properties that make both of them
suspicious, such as dense tissue or the exposure, then count for less.

Probabilities are float64 n x 3 in the order of CLASSES, and calibrated.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from pydantic import Field

from shared.domain.arrays import Float64Array
from shared.domain.films import Film
from shared.domain.records import CLASSES, Label, Record
from shared.modelling.calibration import OperatingPoint, softmax
from shared.modelling.metrics import ModelMetrics
from shared.modelling.predictions import FoldPredictions

WEIGHT = 0.5
"""The part of the other film's log-odds that is subtracted; chosen on validation films."""

_NORMAL = CLASSES.index(Label.NORMAL)
_LEAST = 1e-9


class Comparison(Record):
    """Parameters of the comparison and its metrics on held-out films of all folds.

    `centre`, `temperature` and thresholds come from the validation films of the published fold.
    """

    centre: tuple[float, float, float] = Field(description="mean log-odds against normal, by class; 0 for normal")
    temperature: float = Field(gt=0, description="that what comes out of it is divided by")
    operating_points: tuple[OperatingPoint, ...]
    metrics: ModelMetrics


def log_odds(rows: Float64Array) -> Float64Array:
    """Compute log-odds against normal, n x 3; that of normal is 0."""
    logs = np.log(np.maximum(rows, _LEAST))
    return np.asarray(logs - logs[:, _NORMAL : _NORMAL + 1])


def compared(
    rows: Float64Array, others: Float64Array, centre: tuple[float, float, float], temperature: float = 1.0
) -> Float64Array:
    """Return the probabilities of films compared with `others`, the other breast's.

    If the other film has the mean log-odds (`centre`), the film keeps its probabilities, except for the temperature.
    """
    return softmax((log_odds(rows) - WEIGHT * (log_odds(others) - np.array(centre))) / temperature)


def both_sides(predictions: FoldPredictions, films: Mapping[str, Film]) -> tuple[FoldPredictions, Float64Array] | None:
    """Pair films with the same view of the other breast, by patient, exam and fold.

    If a view was taken several times, each film is paired with the mean log-odds of the other breast's films.

    Args:
        predictions: calibrated, film by film.
        films: by their id; films that are not among them, and those of unknown view, have no pair.

    Returns:
        The films that have a pair and the probabilities of its other side, n x 3; None if there is no pair.
    """
    of_view: dict[tuple[int, str, str | None, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, (film, patient, fold) in enumerate(
        zip(predictions.films, predictions.patients, predictions.folds, strict=True)
    ):
        known = films.get(film)
        if known and known.view:
            of_view[fold, patient, known.exam, known.view][known.side].append(place)
    first, second = [], []
    for sides in of_view.values():
        if len(sides) == 2:
            one, other = sides.values()
            first += [(place, other) for place in one]
            second += [(place, one) for place in other]
    pairs = [*first, *second]
    if not pairs:
        return None
    rows = predictions.rows
    return predictions.at([place for place, _ in pairs]), np.stack([_average(rows[others]) for _, others in pairs])


def _average(rows: Float64Array) -> Float64Array:
    """Average the log-odds of films of one view, n x 3; return probabilities (3,).

    A single film's probabilities are returned unchanged.
    """
    return rows[0] if len(rows) == 1 else softmax(log_odds(rows).mean(axis=0))
