"""Exams: 1 to 12 films of one patient, with findings by film, breast and exam."""

from typing import Literal

from pydantic import Field

from shared.api.base import ResponseModel, absent
from shared.api.batches import ImageProblem
from shared.api.films import Laterality
from shared.api.predictions import FilmAnswer, GateAnswer, Judgement, Signature

MOST_FILMS = 12

MetricUnit = Literal["film", "breast", "exam"]
"""What sensitivity and specificity of an operating point are counted over."""


class FilmProblem(ImageProblem):
    """Reason why a film was rejected, as in the problem document of a single film."""

    status: int = Field(description="HTTP status that `/v1/predictions` returns for this film")
    gate: GateAnswer | None = absent("Result of the gate; present with `not-a-mammogram`")


class ComparedJudgement(Judgement):
    """Finding of a film compared with the same view of the other breast.

    `beside` holds the positions of the films of that view.
    """

    beside: tuple[int, ...]


class ExamFilm(ResponseModel):
    """A film of an exam, with its finding or its problem."""

    position: int = Field(description="Position in the request, from 0")
    name: str | None = Field(description="File name as sent, without folders; null: none was sent")
    finding: FilmAnswer | None = absent()
    problem: FilmProblem | None = absent()
    side_by_side: ComparedJudgement | None = absent(
        "Comparison with the other breast. Present if view, modifiers and side of both films are known, both "
        "have the same "
        "standard view (CC or MLO without modifiers), and the model's card contains a comparison"
    )


class BreastFinding(Judgement):
    """Finding of a breast from all its films; repeats of a view are averaged first."""

    laterality: Laterality
    films: tuple[int, ...] = Field(description="Positions of the breast's films in the request")
    figures_of: MetricUnit = Field(
        description="Unit of sensitivity and specificity; `film`: the card has no figures by breast"
    )


class ExamFinding(Judgement):
    """Finding of an exam: that of its most suspicious breast, `laterality`."""

    laterality: Laterality
    figures_of: MetricUnit = Field(
        description="Unit of sensitivity and specificity; `film`: the card has no figures by exam"
    )


class ExamPrediction(Signature):
    """Findings of an exam. With status 200 each film has a finding or a problem."""

    films: tuple[ExamFilm, ...]
    breasts: tuple[BreastFinding, ...] = Field(description="Breasts with at least one finding")
    exam: ExamFinding | None = Field(description="null: all films were rejected")
    rule: str = Field(description="Rule by which the findings of films are combined")
