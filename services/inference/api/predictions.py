"""Mammostack's own API: image bytes in, JSON out."""

from flask import Blueprint, Response, g

from services.inference.api import request_parsing
from services.inference.api.exams import predict_exam
from services.inference.api.openapi import PNG, describe
from services.inference.api.uploads import IMAGE_ERRORS, IMAGES, explain_of, film_form, films_sent, predict_all
from services.inference.findings import film_answer, signature
from services.inference.service import InferenceService
from services.inference.serving.heatmaps import DRAWN
from services.inference.serving.predictor import explanation, operating_point
from shared.api.exams import MOST_FILMS, ExamPrediction
from shared.api.predictions import (
    LONGEST_TIMEOUT_MS,
    ExplanationQuery,
    PredictionAnswer,
    PredictionQuery,
)
from shared.api.protocols import MOST_IMAGES
from shared.api.service import KeyLimits, ModelDetails, ModelList, UsageLimits
from shared.domain.records import Label
from shared.errors import InputError
from shared.imaging.image import MAX_PIXELS
from shared.modelling.card import ModelCard

FORMATS = ("PGM", "PNG", "JPEG", "TIFF", "DICOM")


def blueprint(service: InferenceService) -> Blueprint:
    """Create the routes of predictions, explanations, models and usage limits."""
    api = Blueprint("native", __name__)
    _add_predictions(api, service)
    _add_models(api, service)
    return api


def _add_predictions(api: Blueprint, service: InferenceService) -> None:
    @api.post("/v1/predictions")
    @describe(
        "predictions",
        "Predict one film, or the films of a patient",
        PredictionAnswer,
        ExamPrediction,
        body=(IMAGES, film_form(MOST_FILMS)),
        query=PredictionQuery,
        errors=(400, *IMAGE_ERRORS),
    )
    def predictions() -> Response:
        """Send the bytes of an image file, or a form with up to 12 films of one patient.

        Several films are answered like `/v1/exams`. The format is detected from the first bytes, not from the media
        type.
        """
        options, model, films = request_parsing.query(PredictionQuery), service.model(), films_sent(MOST_FILMS)
        if len(films) > 1:
            return request_parsing.json_response(predict_exam(service, model, films, options))
        point = operating_point(model.card, options.operating_point)
        (prediction,) = predict_all(
            service, model, films, explain=explain_of(options, point), timeout_ms=options.timeout_ms
        )
        finding = film_answer(model.card, prediction, point, g.elapsed(), heatmap_style=options.form, view=options.view)
        return request_parsing.json_response(PredictionAnswer(**dict(finding), **signature(model, g.request_id)))

    @api.post("/v1/explanations")
    @describe(
        "predictions",
        "Get the class-activation map of a film",
        PNG,
        body=(IMAGES, film_form(1)),
        query=ExplanationQuery,
        errors=(400, *IMAGE_ERRORS),
    )
    def explanations() -> Response:
        """Return a PNG overlay of the film's aspect ratio, at most 512 pixels long.

        The header X-Explained-Class names the class that the map explains.
        """
        options, model, images = request_parsing.query(ExplanationQuery), service.model(), films_sent(MOST_FILMS)
        if len(images) > 1:
            raise InputError("the request has several images; send a single one to /v1/explanations")
        point = operating_point(model.card, options.operating_point)
        explain = explanation(point, None if options.explained is None else Label(options.explained))
        (prediction,) = predict_all(service, model, images, explain=explain, timeout_ms=options.timeout_ms)
        if prediction.heat is None or prediction.explained is None:
            raise InputError(f"{model.card.network} has no activation map; request a prediction only")
        headers = {"X-Explained-Class": prediction.explained.value}
        return Response(DRAWN[options.form](prediction.heat), mimetype="image/png", headers=headers)


def _add_models(api: Blueprint, service: InferenceService) -> None:
    @api.get("/v1/models")
    @describe("models", "List the served networks", ModelList)
    def models() -> Response:
        card = service.keeper.current.card if service.keeper.ready else None
        network = service.settings.serving.network
        details = ModelDetails(name=network, ready=card is not None, version=card and card.version)
        return request_parsing.json_response(ModelList(models=(network,), details=(details,)))

    @api.get("/v1/models/<name:network>/card")
    @describe("models", "Get a model's card: intended use, limits, metrics", ModelCard, errors=(404, 503))
    def card(network: str) -> Response:
        return request_parsing.json_response(service.model(network).card)

    @api.get("/v1/usage-limits")
    @describe("models", "Get the accepted formats and the limits of use", UsageLimits)
    def usage_limits() -> Response:
        caller = g.caller
        return request_parsing.json_response(
            UsageLimits(
                body_mb=service.settings.serving.max_image_mb,
                request_mb=service.settings.serving.max_request_mb,
                image_pixels=MAX_PIXELS,
                images_in_a_request=MOST_IMAGES,
                films_in_an_exam=MOST_FILMS,
                formats=FORMATS,
                requests_at_work=service.queue.slots,
                requests_waiting=service.settings.serving.waiting,
                longest_timeout_ms=LONGEST_TIMEOUT_MS,
                key=KeyLimits(requests_a_minute=caller.requests_a_minute, requests_at_once=caller.requests_at_once),
            )
        )
