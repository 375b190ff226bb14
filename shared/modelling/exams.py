"""Probabilities of breasts and exams from those of their films, by a rule without trained parameters.

- A breast: the mean of the log-odds against normal of its views. Films of the same view (repeat exposures) are averaged
  first, so that a view that was taken twice does not count twice; films of unknown view are one view together.
- An exam: the probabilities of its most suspicious breast, the one with the highest abnormal score, 1 - P(normal).

Probabilities are float64 n x 3 in the order of CLASSES and calibrated film by film. A breast or an exam of one film has
that film's own probabilities. A missing view or breast is no error.

Sources: the mean over the images of a breast is what won the RSNA 2022 Screening Mammography Breast Cancer Detection
challenge (github.com/dangnh0611/kaggle_rsna_breast_cancer, src/submit/submit.py); the mean within a breast and the
maximum over breasts is the winner's rule of SPR 2025 (github.com/xinwangxinwang/Kaggle_SPR, Solution.md). Averaging
log-odds is the logarithmic opinion pool (Genest and Zidek, Statistical Science 1, 1986).
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from pydantic import Field

from shared.domain.arrays import Float64Array, Int64Array
from shared.domain.films import Film
from shared.domain.records import CLASSES, Label, Record
from shared.modelling.bilateral import log_odds
from shared.modelling.calibration import OperatingPoint, abnormal_score, softmax
from shared.modelling.metrics import ModelMetrics
from shared.modelling.predictions import FoldPredictions

RULE = (
    "A breast has the mean of the calibrated log-odds of its views, films of the same view averaged first; an exam has "
    "the probabilities of its most suspicious breast."
)

BreastName: TypeAlias = Hashable
"""Name of a breast within its exam: 'L' and 'R', 'left' and 'right'."""


Level: TypeAlias = Literal["breast", "exam"]
LEVELS: tuple[Level, ...] = ("breast", "exam")


class LevelFigures(Record):
    """Metrics of the rule on breasts or exams of held-out patients, all folds.

    `n_films` of the metrics counts breasts or exams, whose label is that of their worst film. Thresholds and bands come
    from the validation films of the published fold.
    """

    metrics: ModelMetrics
    operating_points: tuple[OperatingPoint, ...]


class ExamRule(Record):
    """The rule of a card and its figures by breast and by exam; those by film are the card's own."""

    rule: str = Field(RULE, description="how breasts and exams get their probabilities")
    breast: LevelFigures
    exam: LevelFigures


@dataclass(frozen=True, eq=False)
class BreastAnswer:
    """The answer for one breast: `films` are the places of its films in the exam, `probabilities` float64 (3,)."""

    side: BreastName | None
    films: tuple[int, ...]
    probabilities: Float64Array


@dataclass(frozen=True, eq=False)
class ExamAnswer:
    """The answer for an exam: its breasts in the order of their first films, and the place of the worst of them."""

    breasts: tuple[BreastAnswer, ...]
    worst: int

    @property
    def probabilities(self) -> Float64Array:
        """Those of the most suspicious breast, float64 (3,)."""
        return self.breasts[self.worst].probabilities


def judge_exam(rows: Float64Array, sides: Sequence[BreastName | None], views: Sequence[str | None]) -> ExamAnswer:
    """Judge the films of one exam together.

    Args:
        rows: calibrated probabilities, n x 3, n at least 1.
        sides: of the films, n. Each film of unknown side (None) is a breast of its own: nothing says that two of them
            show the same one, and a mean would hide what one of them shows.
        views: of the films, n, such as 'CC' or 'MLO'.
    """
    films_of: dict[Hashable, list[int]] = {}
    for film, side in enumerate(sides):
        films_of.setdefault(("unknown", film) if side is None else side, []).append(film)
    breasts = tuple(
        BreastAnswer(sides[films[0]], tuple(films), breast_probabilities(rows[films], [views[film] for film in films]))
        for films in films_of.values()
    )
    scores = abnormal_score(np.stack([breast.probabilities for breast in breasts]))
    return ExamAnswer(breasts, int(scores.argmax()))


def breast_probabilities(rows: Float64Array, views: Sequence[str | None]) -> Float64Array:
    """Return the probabilities (3,) of the breast that films with `rows` (n x 3) and `views` (n) show."""
    numbers = {view: number for number, view in enumerate(dict.fromkeys(views))}
    one_breast = np.zeros(len(rows), np.int64)
    return np.asarray(_of_breasts(rows, one_breast, np.array([numbers[view] for view in views]))[0])


def _of_breasts(rows: Float64Array, breasts: Int64Array, views: Int64Array) -> Float64Array:
    """Return the probabilities of breasts, m x 3, from those of films, n x 3.

    Args:
        rows: of the films.
        breasts: which breast each film shows, 0 to m - 1.
        views: which view of all breasts each film is; no view is that of two breasts.
    """
    of_views = _means(log_odds(rows), views)
    breast_of_view = np.zeros(len(of_views), np.int64)
    breast_of_view[views] = breasts
    probabilities = softmax(_means(of_views, breast_of_view))
    alone = np.flatnonzero((np.bincount(breasts) == 1)[breasts])
    probabilities[breasts[alone]] = rows[alone]
    return probabilities


def _means(rows: Float64Array, groups: Int64Array) -> Float64Array:
    """Return the mean row of each group, from 0 to the highest."""
    sums = np.stack([np.bincount(groups, column) for column in rows.T], axis=1)
    return np.asarray(sums / np.bincount(groups)[:, None])


def by_breast_and_exam(predictions: FoldPredictions, films: Mapping[str, Film]) -> dict[Level, FoldPredictions] | None:
    """Apply the rule to predictions by film; breasts and exams have their worst film's label.

    Films of a patient without an exam are of one exam. Each fold is judged by itself.

    Args:
        predictions: calibrated, film by film.
        films: by their id; films that are not among them are left out, and None is returned where none is.
    """
    places: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    for place, (film, patient, fold) in enumerate(
        zip(predictions.films, predictions.patients, predictions.folds, strict=True)
    ):
        if film in films:
            places[fold, patient, films[film].exam or ""].append(place)
    if not places:
        return None
    films_of_breast: dict[tuple[Hashable, ...], list[int]] = {}
    views: dict[tuple[Hashable, ...], int] = {}
    ordered, breast_of, view_of = [], [], []
    for exam_of_patient, of_exam in places.items():
        for place in of_exam:
            known = films[predictions.films[place]]
            breast = (*exam_of_patient, known.side)
            films_of_breast.setdefault(breast, []).append(place)
            view_of.append(views.setdefault((*breast, known.view), len(views)))
            breast_of.append(breast)
            ordered.append(place)
    numbers = {breast: number for number, breast in enumerate(films_of_breast)}
    indices = np.array([numbers[breast] for breast in breast_of])
    probabilities = _of_breasts(predictions.rows[ordered], indices, np.array(view_of))
    scores = abnormal_score(probabilities)
    units = {"breast": _Units(), "exam": _Units()}
    for (fold, patient, exam), of_exam in places.items():
        labels = [predictions.labels[place] for place in of_exam]
        sides = dict.fromkeys(films[predictions.films[place]].side for place in of_exam)
        breasts = {side: numbers[fold, patient, exam, side] for side in sides}
        for side, number in breasts.items():
            of_breast = [predictions.labels[place] for place in films_of_breast[fold, patient, exam, side]]
            worst = max(of_breast, key=CLASSES.index)
            units["breast"].add(f"{patient}/{exam}/{side}", patient, worst, probabilities[number], fold)
        most = max(breasts.values(), key=scores.__getitem__)
        units["exam"].add(f"{patient}/{exam}", patient, max(labels, key=CLASSES.index), probabilities[most], fold)
    return {"breast": units["breast"].predictions(), "exam": units["exam"].predictions()}


class _Units:
    """Collects the breasts, or the exams, of predictions."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, Label, tuple[float, ...], int]] = []

    def add(self, name: str, patient: str, label: Label, probabilities: Float64Array, fold: int) -> None:
        self._rows.append((name, patient, label, tuple(probabilities.tolist()), fold))

    def predictions(self) -> FoldPredictions:
        names = ("films", "patients", "labels", "probabilities", "folds")
        return FoldPredictions.model_validate(dict(zip(names, zip(*self._rows, strict=True), strict=True)))
