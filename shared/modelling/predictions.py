"""FoldPredictions for films with known labels, the input of metrics and calibration."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from shared.domain.arrays import BoolArray, Float64Array, Int64Array
from shared.domain.records import CLASSES, Label, Record

_INDEX = {label: index for index, label in enumerate(CLASSES)}
SUM_TOLERANCE = 1e-3  # a softmax in half precision is off by this much


class FoldPredictions(Record):
    """FoldPredictions of the films of one or more folds: row i of each field is one film.

    Raises a pydantic ValidationError if the fields differ in length, if there is no film, or if a row of probabilities
    is not a distribution.
    """

    films: tuple[str, ...] = Field(min_length=1, description="id of the film, or of its augmented variant")
    patients: tuple[str, ...]
    labels: tuple[Label, ...]
    probabilities: tuple[tuple[float, float, float], ...] = Field(description="in the order of CLASSES")
    folds: tuple[int, ...]

    @property
    def rows(self) -> Float64Array:
        """The probabilities, n x 3."""
        numbers = chain.from_iterable(self.probabilities)
        return np.fromiter(numbers, np.float64, len(CLASSES) * len(self.probabilities)).reshape(-1, len(CLASSES))

    @property
    def truth(self) -> Int64Array:
        """The index of each film's class in CLASSES, (n,)."""
        return np.array([_INDEX[label] for label in self.labels], np.int64)

    @property
    def abnormal(self) -> BoolArray:
        """Return True for films that are benign or malignant, (n,)."""
        return np.array([label != Label.NORMAL for label in self.labels])

    def with_rows(self, rows: Float64Array) -> Self:
        """Return the same films with other probabilities, n x 3."""
        return self.model_copy(update={"probabilities": tuple(map(tuple, rows.tolist()))})

    def at(self, places: Iterable[int]) -> Self:
        """Return the films at `places`, in that order.

        Raises:
            ValidationError: there are none.
        """
        chosen = list(places)
        return self.model_validate({name: [values[place] for place in chosen] for name, values in self})

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        lengths = {len(self.films), len(self.patients), len(self.labels), len(self.probabilities), len(self.folds)}
        if len(lengths) > 1:
            raise ValueError("films, patients, labels, probabilities and folds must be of the same length")
        rows = self.rows
        distribution = (rows >= 0).all(axis=1) & (abs(rows.sum(axis=1) - 1) <= SUM_TOLERANCE)
        if not distribution.all():
            film = self.films[int(np.argmin(distribution))]
            raise ValueError(f"{film}: probabilities must not be negative and must sum to 1")
        return self


def merge(parts: Sequence[FoldPredictions]) -> FoldPredictions:
    """Combine the predictions of several folds.

    Raises:
        ValidationError: `parts` is empty.
    """
    return FoldPredictions(
        films=tuple(chain.from_iterable(part.films for part in parts)),
        patients=tuple(chain.from_iterable(part.patients for part in parts)),
        labels=tuple(chain.from_iterable(part.labels for part in parts)),
        probabilities=tuple(chain.from_iterable(part.probabilities for part in parts)),
        folds=tuple(chain.from_iterable(part.folds for part in parts)),
    )
