"""Answers about exams of generated films, which say what a test wants of each."""

from pydantic import BaseModel, ConfigDict

from shared.api.exams import BreastFinding, ExamFilm, ExamFinding, ExamPrediction, FilmProblem
from shared.api.films import FilmAbout, FilmWindow, Laterality
from shared.api.predictions import FilmAnswer, FilmImage, HeatMap, ImageFacts
from shared.modelling.calibration import OperatingPoint
from shared.modelling.exams import RULE
from tests.support.page.answers import (
    APPLIES,
    APPLIES_NOT,
    FILM,
    GATE,
    PROBLEMS,
    SECONDS,
    about,
    drawing,
    heat_of,
    judgement,
    png_of,
    signature,
)


class ExamSpec(BaseModel):
    """The content of an exam's file as the stub reads it: what it answers about that film. `wall` is the edge with the
    chest wall, None where it belongs on a film of that side."""

    model_config = ConfigDict(extra="forbid")

    side: Laterality = "R"
    view: str | None = "CC"
    source: str = "file"
    score: float = 0.12
    wall: str | None = None
    modifiers: tuple[str, ...] = ()
    implant: bool | None = None
    applies: bool = True
    disagreements: tuple[str, ...] = ()
    windows: tuple[tuple[str, float, float], ...] = ()
    spacing: float | None = None
    problem: str | None = None


def exam(specs: list[tuple[str, ExamSpec]], point: OperatingPoint, version: str) -> ExamPrediction:
    """The answers on files with their names; a breast has the score of its most suspicious film."""
    films = tuple(_exam_film(position, name, spec, point) for position, (name, spec) in enumerate(specs))
    breasts = []
    for side in ("L", "R"):
        at = (position for position, (_, spec) in enumerate(specs) if spec.side == side and not spec.problem)
        scores = {position: specs[position][1].score for position in at}
        if scores:
            judged = judgement(max(scores.values()), point)
            breasts.append(BreastFinding(**judged, laterality=side, films=tuple(scores), figures_of="breast"))
    worst = max(breasts, key=lambda breast: breast.decision.score, default=None)
    return ExamPrediction(
        films=films,
        breasts=tuple(breasts),
        exam=worst
        and ExamFinding(**judgement(worst.decision.score, point), laterality=worst.laterality, figures_of="film"),
        rule=RULE,
        **signature(version, synthetic=True),
    )


def _exam_film(position: int, name: str, spec: ExamSpec, point: OperatingPoint) -> ExamFilm:
    if spec.problem is not None:
        status, code, detail, gate = PROBLEMS[spec.problem.encode()]
        return ExamFilm(
            position=position, name=name, problem=FilmProblem(code=code, detail=detail, status=status, gate=gate)
        )
    wall = spec.wall or {"R": "right", "L": "left"}[spec.side]
    small = (FILM.pixels[::4, ::4], FILM.parenchyma[::4, ::4], heat_of(FILM))
    pixels, parenchyma, heat = (each if wall == "right" else each[:, ::-1].copy() for each in small)
    judged = judgement(spec.score, point)
    height, width = pixels.shape
    spacing = None if spec.spacing is None else (spec.spacing, spec.spacing)
    finding = FilmAnswer(
        **judged,
        gate=GATE,
        image=ImageFacts(width=width, height=height, bits=8, format="DICOM", reduction=1, spacing_mm=spacing),
        about=_about(spec, wall),
        applicability=APPLIES if spec.applies else APPLIES_NOT,
        **drawing(parenchyma, 1),
        heatmap=HeatMap(label=judged["label"], png=png_of(heat)),
        view=FilmImage(png=png_of(pixels)),
        seconds=SECONDS,
    )
    return ExamFilm(position=position, name=name, finding=finding)


def _about(spec: ExamSpec, wall: str) -> FilmAbout:
    known = about(spec.side, spec.view, spec.source)
    return known.model_copy(
        update={
            "view": known.view.model_copy(update={"modifiers": spec.modifiers}),
            "chest_wall": wall,
            "implant": spec.implant,
            "disagreements": spec.disagreements,
            "windows": tuple(FilmWindow(name=name, centre=at, width=width) for name, at, width in spec.windows),
        }
    )
