"""Exams: 1 to 12 films of one patient, each answered or refused by itself, then by breast and together."""

from typing import Literal

from pydantic import Field

from shared.api.answer import Answer, absent
from shared.api.batches import ImageProblem
from shared.api.films import Side
from shared.api.predictions import FilmAnswer, GateAnswer, Judgement, Signature

MOST_FILMS = 12

Figures = Literal["film", "breast", "exam"]
"""What sensitivity and specificity of an operating point are counted over."""


class FilmProblem(ImageProblem):
    """Why a film is refused: as the problem document says it that the film alone would get."""

    status: int = Field(description="HTTP status that the film alone would get")
    gate: GateAnswer | None = absent("with `not-a-mammogram`")


class ComparedJudgement(Judgement):
    """A film judged beside the same view of the other breast: `beside` are the positions of the films of that view."""

    beside: tuple[int, ...]


class ExamFilm(Answer):
    """One film of a request: either its finding, or the problem for which it is refused."""

    position: int = Field(description="in the request, from 0")
    name: str | None = Field(description="the file's, as it was sent, without folders; null without one")
    finding: FilmAnswer | None = absent()
    problem: FilmProblem | None = absent()
    side_by_side: ComparedJudgement | None = absent(
        "there where view, modifiers and side are known of this film and of one of the other breast, both of the same "
        "standard view (CC or MLO without modifiers), and the model's card has a comparison"
    )


class BreastFinding(Judgement):
    """What is said of a breast by all its films; repeats of a view are averaged first."""

    laterality: Side
    films: tuple[int, ...] = Field(description="positions")
    figures_of: Figures = Field(description="`film`: the model's card has no figures by breast")


class ExamFinding(Judgement):
    """What is said of the exam: that of its most suspicious breast, which is the one of this side."""

    laterality: Side
    figures_of: Figures = Field(description="`film`: the model's card has no figures by exam")


class ExamPrediction(Signature):
    """Of the films of one patient. Status 200 means that each film has its finding or its problem."""

    films: tuple[ExamFilm, ...]
    breasts: tuple[BreastFinding, ...] = Field(description="those of which a film has a finding")
    exam: ExamFinding | None = Field(description="null: every film is refused")
    rule: str = Field(description="how breasts and exam follow from films")
