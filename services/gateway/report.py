"""The content of all result objects: films of an exam with their predictions, in the order of hanging."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from services.gateway.eligibility import Refusal
from services.gateway.films import FilmHeader, SideLetter
from shared.api.exams import BreastFinding, ExamPrediction
from shared.api.predictions import FilmAnswer, Judgement, ModelInUse

ResultKind = Literal["cad-sr", "tid1500", "sc", "gsps", "seg"]
KINDS: tuple[ResultKind, ...] = ("cad-sr", "tid1500", "sc", "gsps", "seg")
"""Mammography CAD SR, TID 1500 report, Secondary Captures, Presentation State and Segmentations."""

_HANGING = ("CC", "MLO")


@dataclass(frozen=True, eq=False)
class ReportedFilm:
    """A film with its finding, or with the reason why it has none."""

    header: FilmHeader
    finding: FilmAnswer | None = None
    refusal: Refusal | None = None
    position: int | None = None
    """Position in the request and its answer; None: the film was not sent."""

    @property
    def side(self) -> SideLetter | None:
        """Side as the file states it, else as the model's service found it."""
        return self.header.side or (self.finding.about.laterality.name if self.finding and self.finding.about else None)

    @property
    def view(self) -> str | None:
        """View as the file states it, else as the model's service found it."""
        return self.header.view or (self.finding.about.view.name if self.finding and self.finding.about else None)

    @property
    def applies(self) -> bool:
        """False if there is no finding, or the model was trained on no film of this kind."""
        return self.finding is not None and not self.misfit

    @property
    def misfit(self) -> str | None:
        """Words on why the model does not apply; None if it may apply or there is no finding."""
        about = self.finding.applicability if self.finding else None
        return " ".join(about.reasons) if about and about.applies is False else None


@dataclass(frozen=True)
class Predecessor:
    """An earlier result of the same kind that a new one replaces."""

    sop_class: str
    sop_uid: str
    series_uid: str
    instance_number: int = 1


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that result objects are made of.

    Attributes:
        films: films of the study, at least one, in the order of hanging.
        answer: prediction of the films that were sent; each of its films has a film here.
        made: time of the prediction; results of one report carry the same time.
        first_series: number of the first series of results; higher than those of the films, so that these hang first.
        series_numbers: numbers of series that exist already.
        predecessors: current results of an earlier report, by kind.
    """

    films: tuple[ReportedFilm, ...]
    answer: ExamPrediction
    operating_point: str
    made: datetime
    first_series: int = 9001
    series_numbers: Mapping[ResultKind, int] = field(default_factory=dict)
    predecessors: Mapping[ResultKind, Predecessor] = field(default_factory=dict)

    @property
    def study_uid(self) -> str:
        """UID of the films' study."""
        return self.films[0].header.study_uid

    @property
    def model(self) -> ModelInUse:
        """Model that made the predictions."""
        return self.answer.model

    def side(self, side: SideLetter) -> tuple[ReportedFilm, ...]:
        """Return the films of a breast."""
        return tuple(film for film in self.films if film.side == side)

    def breast(self, side: SideLetter) -> BreastFinding | None:
        """Return the finding of a breast; None if it has none or the model does not apply to one of its films."""
        found = next((breast for breast in self.answer.breasts if breast.laterality == side), None)
        judged = [film for film in self.films if found and film.position in found.films]
        return found if all(film.misfit is None for film in judged) else None

    @property
    def exam(self) -> Judgement | None:
        """Finding of the exam; None if it has none or the model does not apply to one of its films."""
        return self.answer.exam if all(film.misfit is None for film in self.films) else None

    @property
    def succeeded(self) -> tuple[ReportedFilm, ...]:
        """Films with a finding that the model applies to."""
        return tuple(film for film in self.films if film.applies)


def join(
    headers: Sequence[FilmHeader], refusals: Mapping[str, Refusal], sent: Sequence[str], answer: ExamPrediction
) -> tuple[ReportedFilm, ...]:
    """Join films with their predictions or refusals, in the order of hanging.

    Args:
        headers: films of the exam.
        refusals: by SOP Instance UID, of films that were not sent.
        sent: SOP Instance UIDs in the order in which the films were sent.
        answer: prediction of these.
    """
    answers = dict(zip(sent, answer.films, strict=True))
    films = []
    for header in headers:
        film, refusal = answers.get(header.sop_uid), refusals.get(header.sop_uid)
        if film is not None and film.problem is not None:
            refusal = Refusal(film.problem.code, film.problem.detail)
        finding, position = (film.finding, film.position) if film is not None else (None, None)
        films.append(ReportedFilm(header, finding, refusal, position))
    return tuple(sorted(films, key=_hanging))


def _hanging(film: ReportedFilm) -> tuple[int, str, bool, str]:
    view = film.view or ""
    return _HANGING.index(view) if view in _HANGING else len(_HANGING), view, film.side != "R", film.header.sop_uid
