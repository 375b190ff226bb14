"""Exams over HTTP: the films of one patient, each answered or refused by itself, then together."""

import time
from collections.abc import Sequence

from flask import Blueprint, Response, g

from services.inference.answers import film_answer, gate_of, signature
from services.inference.api import request_parsing
from services.inference.api.openapi import describe
from services.inference.api.uploads import IMAGES, SentFilm, explain_of, films_sent, form, predict_film
from services.inference.exams import JudgedFilm, beside_other_breast, breasts_and_exam
from services.inference.service import InferenceService
from services.inference.serving.predictor import ServedModel, operating_point
from shared.api.exams import MOST_FILMS, ExamFilm, ExamPrediction, FilmProblem
from shared.api.predictions import PredictionQuery
from shared.errors import ImageError
from shared.modelling.exams import RULE


def blueprint(service: InferenceService) -> Blueprint:
    """`/v1/exams`."""
    api = Blueprint("exams", __name__)

    @api.post("/v1/exams")
    @describe(
        "predictions",
        "Predict the films of an exam, one by one, by breast and together",
        ExamPrediction,
        body=(form(MOST_FILMS), IMAGES),
        query=PredictionQuery,
        errors=(400, 413, 503, 504),
    )
    def exams() -> Response:
        """A form with 1 to 12 films of one patient, or the bytes of one. A film that can't be judged is refused by
        itself, with its position, name and reason, and the others are judged without it. Text fields `view` and `side`,
        one of each for every film in the order of the films, state what plain images can't say of themselves."""
        asked, model = request_parsing.query(PredictionQuery), service.model()
        return request_parsing.sent(predict_exam(service, model, films_sent(MOST_FILMS), asked))

    return api


def predict_exam(
    service: InferenceService, model: ServedModel, films: Sequence[SentFilm], asked: PredictionQuery
) -> ExamPrediction:
    """Predict films one after the other; no pixels of a film are held any longer than it is at work.

    Raises:
        InputError: the model has no such operating point.
        What `InferenceService.predict` raises, but for the errors of a film.
    """
    card, point = model.card, operating_point(model.card, asked.operating_point)
    answers: list[ExamFilm] = []
    judged: list[JudgedFilm] = []
    for film in films:
        began = time.perf_counter()
        place = {"position": film.position, "name": film.name}
        try:
            found = predict_film(
                service, model, film, named=False, explain=explain_of(asked, point), timeout_ms=asked.timeout_ms
            )
        except ImageError as error:
            problem = FilmProblem(code=error.code, detail=str(error), status=error.http_status, gate=gate_of(error))
            answers.append(ExamFilm(**place, problem=problem))
            continue
        took = time.perf_counter() - began
        answer = film_answer(card, found, point, took, form=asked.form, view=asked.view)
        answers.append(ExamFilm(**place, finding=answer))
        judged.append(JudgedFilm(film.position, found.probabilities, found.known))
        del found
    beside = beside_other_breast(card, judged, point.name)
    breasts, exam = breasts_and_exam(card, judged, point.name)
    return ExamPrediction(
        **signature(model, g.request_id),
        films=tuple(each.model_copy(update={"side_by_side": beside.get(each.position)}) for each in answers),
        breasts=breasts,
        exam=exam,
        rule=RULE if card.exam_rule is None else card.exam_rule.rule,
    )
