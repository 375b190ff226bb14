"""Combine the films of an exam: by breast, as a whole, and with the other breast."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.inference.findings import judged
from services.inference.serving.known_film import KnownFilm
from services.inference.serving.predictor import operating_point
from shared.api.exams import BreastFinding, ComparedJudgement, ExamFinding, MetricUnit
from shared.domain.arrays import Float64Array
from shared.modelling.bilateral import compared
from shared.modelling.calibration import OperatingPoint
from shared.modelling.card import ModelCard
from shared.modelling.exams import Level, breast_probabilities, judge_exam


@dataclass(frozen=True, eq=False)
class JudgedFilm:
    """A film of an exam, without pixels.

    It holds its position in the request, its calibrated probabilities (float64, 3) and its known properties.
    """

    position: int
    probabilities: Float64Array
    known: KnownFilm

    @property
    def exposure(self) -> str | None:
        """Names the view with its modifiers: films with the same name are repeats."""
        return self.known.view and " ".join((self.known.view, *(self.known.modifiers or ())))


def breasts_and_exam(
    card: ModelCard, films: Sequence[JudgedFilm], point: str
) -> tuple[tuple[BreastFinding, ...], ExamFinding | None]:
    """Combine films by breast and exam at an operating point; None without films."""
    if not films:
        return (), None
    sides = [film.known.side for film in films]
    exam = judge_exam(np.stack([film.probabilities for film in films]), sides, [film.exposure for film in films])
    at_breast, of_breast = _point(card, "breast", point)
    at_exam, of_exam = _point(card, "exam", point)
    breasts = tuple(
        BreastFinding(
            **judged(breast.probabilities, at_breast),
            laterality=sides[breast.films[0]],
            films=tuple(films[place].position for place in breast.films),
            figures_of=of_breast,
        )
        for breast in exam.breasts
    )
    worst = breasts[exam.worst].laterality
    return breasts, ExamFinding(**judged(exam.probabilities, at_exam), laterality=worst, figures_of=of_exam)


def beside_other_breast(card: ModelCard, films: Sequence[JudgedFilm], point: str) -> dict[int, ComparedJudgement]:
    """Compare films with the same view of the other breast; results by position.

    Only films of a known standard view are compared, see `KnownFilm.standard_view`. The result is empty if the card has
    no
    comparison.
    """
    comparison = card.comparison
    if comparison is None:
        return {}
    at, comparisons = operating_point(card, point, comparison.operating_points), {}
    for film in films:
        view, side = film.known.standard_view, film.known.side
        others = [each for each in films if view and each.known.standard_view == view and each.known.side != side]
        if others:
            other_breast = breast_probabilities(np.stack([each.probabilities for each in others]), [view] * len(others))
            rows = compared(film.probabilities[None], other_breast[None], comparison.centre, comparison.temperature)
            beside = tuple(each.position for each in others)
            comparisons[film.position] = ComparedJudgement(**judged(rows[0], at), beside=beside)
    return comparisons


def _point(card: ModelCard, level: Level, name: str) -> tuple[OperatingPoint, MetricUnit]:
    """Return the operating point of a level, and the unit of its metrics.

    The unit is films if the card has no metrics of the level.
    """
    if card.exam_rule is None:
        return operating_point(card, name), "film"
    figures = card.exam_rule.breast if level == "breast" else card.exam_rule.exam
    return operating_point(card, name, figures.operating_points), level
