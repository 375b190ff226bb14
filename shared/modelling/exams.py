"""From the films of an exam to an answer for each breast and for the exam, by a rule without anything to train.

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

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from shared.modelling.calibration import abnormal_score, softmax
from shared.modelling.comparison import log_odds
from shared.modelling.predictions import Floats

RULE = (
    "A breast has the mean of the calibrated log-odds of its views, films of the same view averaged first; an exam has "
    "the probabilities of its most suspicious breast."
)

Side: TypeAlias = Hashable
"""Names a breast within its exam: 'L' and 'R', 'left' and 'right'."""


@dataclass(frozen=True, eq=False)
class BreastAnswer:
    """The answer for one breast: `films` are the places of its films in the exam, `probabilities` float64 (3,)."""

    side: Side | None
    films: tuple[int, ...]
    probabilities: Floats


@dataclass(frozen=True, eq=False)
class ExamAnswer:
    """The answer for an exam: its breasts in the order of their first films, and the place of the worst of them."""

    breasts: tuple[BreastAnswer, ...]
    worst: int

    @property
    def probabilities(self) -> Floats:
        """Those of the most suspicious breast, float64 (3,)."""
        return self.breasts[self.worst].probabilities


def judge_exam(rows: Floats, sides: Sequence[Side | None], views: Sequence[str | None]) -> ExamAnswer:
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


def breast_probabilities(rows: Floats, views: Sequence[str | None]) -> Floats:
    """Return the probabilities (3,) of the breast that films with `rows` (n x 3) and `views` (n) show."""
    if len(rows) == 1:
        return np.asarray(rows[0])
    logs = log_odds(rows)
    by_view = [logs[[view == each for view in views]].mean(axis=0) for each in dict.fromkeys(views)]
    return softmax(np.mean(by_view, axis=0))
