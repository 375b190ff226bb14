"""What the other breast of a patient tells of a film.

Both breasts of a woman are much alike, and a lesion is mostly in one of them: readers lay the two films side by side.
So a part of how suspicious the other film looks is taken off a film's log-odds against normal. What makes both of them
look suspicious, dense tissue or the way they were exposed, then counts for less.

Probabilities are float64 n x 3 in the order of CLASSES, and calibrated.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from pydantic import Field

from shared.datasets.manifest import CLASSES, Label, Record
from shared.modelling.calibration import OperatingPoint, softmax
from shared.modelling.metrics import ModelMetrics
from shared.modelling.predictions import Floats, Predictions

WEIGHT = 0.5
"""The part of the other film's log-odds that is taken off; docs/experiments.md tells how it was chosen."""

_NORMAL = CLASSES.index(Label.NORMAL)
_LEAST = 1e-9


class Comparison(Record):
    """How a film is compared with that of the other breast, and how good that is on held-out films, all folds together.

    `centre`, `temperature` and thresholds come from the validation films of the published fold.
    """

    centre: tuple[float, float, float] = Field(description="mean log-odds against normal, by class; 0 for normal")
    temperature: float = Field(gt=0, description="that what comes out of it is divided by")
    operating_points: tuple[OperatingPoint, ...]
    metrics: ModelMetrics


def log_odds(rows: Floats) -> Floats:
    """Against normal, n x 3; that of normal is 0."""
    logs = np.log(np.maximum(rows, _LEAST))
    return np.asarray(logs - logs[:, _NORMAL : _NORMAL + 1])


def compared(rows: Floats, others: Floats, centre: tuple[float, float, float], temperature: float = 1.0) -> Floats:
    """What films are given beside `others`, those of the other breast. A film of which the other one looks as films do
    in the mean (`centre`) keeps its probabilities, but for the temperature."""
    return softmax((log_odds(rows) - WEIGHT * (log_odds(others) - np.array(centre))) / temperature)


def both_sides(predictions: Predictions, sides: Mapping[str, str]) -> tuple[Predictions, Floats] | None:
    """The films whose patient has one film of each side in the same fold, and what the other one was given, n x 3; None
    where there is none. `sides` are those of the films by their id."""
    of_patient: dict[tuple[int, str], list[int]] = defaultdict(list)
    for place, whose in enumerate(zip(predictions.folds, predictions.patients, strict=True)):
        of_patient[whose].append(place)
    pairs = [places for places in of_patient.values() if _opposite([sides.get(predictions.films[at]) for at in places])]
    if not pairs:
        return None
    first, second = np.array(pairs).T
    return predictions.at([*first, *second]), predictions.rows[[*second, *first]]


def _opposite(sides: list[str | None]) -> bool:
    return len(sides) == 2 and {*sides} == {"left", "right"}
