"""Exams over HTTP: films of one patient, predicted separately and combined."""

import time
from collections.abc import Sequence

from flask import Blueprint, Response, g

from services.inference.api import request_parsing
from services.inference.api.openapi import describe
from services.inference.api.uploads import IMAGES, UploadedFilm, explain_of, film_form, films_sent, predict_film
from services.inference.exams import JudgedFilm, beside_other_breast, breasts_and_exam
from services.inference.findings import film_answer, gate_of, signature
from services.inference.service import InferenceService
from services.inference.serving.predictor import ServedModel, operating_point
from shared.api.exams import MOST_FILMS, ExamFilm, ExamPrediction, FilmProblem
from shared.api.predictions import PredictionQuery
from shared.errors import ImageError
from shared.modelling.exams import RULE


def blueprint(service: InferenceService) -> Blueprint:
    """Create the route `/v1/exams`."""
    api = Blueprint("exams", __name__)

    @api.post("/v1/exams")
    @describe(
        "predictions",
        "Predict an exam: by film, by breast and as a whole",
        ExamPrediction,
        body=(film_form(MOST_FILMS), IMAGES),
        query=PredictionQuery,
        errors=(400, 413, 503, 504),
    )
    def exams() -> Response:
        """Send a form with 1 to 12 films of one patient, or the bytes of a single film.

        A film that can't be processed gets a problem with its position, name and reason; the other films are predicted
        without
        it. The text fields `view` and `side`, each once per film in the order of the films, state what plain image
        files don't
        contain.
        """
        options, model = request_parsing.query(PredictionQuery), service.model()
        return request_parsing.json_response(predict_exam(service, model, films_sent(MOST_FILMS), options))

    return api


def predict_exam(
    service: InferenceService, model: ServedModel, films: Sequence[UploadedFilm], options: PredictionQuery
) -> ExamPrediction:
    """Predict films one after the other, holding the pixels of one film at a time.

    Raises:
        InputError: the model has no such operating point.
        MammoError: errors of `InferenceService.predict`, except ImageError, which becomes the film's problem.
    """
    card, point = model.card, operating_point(model.card, options.operating_point)
    exam_films: list[ExamFilm] = []
    judged: list[JudgedFilm] = []
    for film in films:
        began = time.perf_counter()
        place = {"position": film.position, "name": film.name}
        try:
            prediction = predict_film(
                service, model, film, named=False, explain=explain_of(options, point), timeout_ms=options.timeout_ms
            )
        except ImageError as error:
            problem = FilmProblem(code=error.code, detail=str(error), status=error.http_status, gate=gate_of(error))
            exam_films.append(ExamFilm(**place, problem=problem))
            continue
        seconds = time.perf_counter() - began
        finding = film_answer(card, prediction, point, seconds, heatmap_style=options.form, view=options.view)
        exam_films.append(ExamFilm(**place, finding=finding))
        judged.append(JudgedFilm(film.position, prediction.probabilities, prediction.known))
        del prediction
    comparisons = beside_other_breast(card, judged, point.name)
    breasts, exam = breasts_and_exam(card, judged, point.name)
    return ExamPrediction(
        **signature(model, g.request_id),
        films=tuple(film.model_copy(update={"side_by_side": comparisons.get(film.position)}) for film in exam_films),
        breasts=breasts,
        exam=exam,
        rule=RULE if card.exam_rule is None else card.exam_rule.rule,
    )
