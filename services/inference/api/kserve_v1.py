"""KServe V1 protocol: base64 images in, predictions or explanations out."""

from base64 import b64encode

from flask import Blueprint, Response

from services.inference.api import request_parsing
from services.inference.api.openapi import describe
from services.inference.api.uploads import IMAGE_ERRORS, UploadedFilm, predict_all
from services.inference.findings import applicability_answer, probabilities_of
from services.inference.service import InferenceService
from services.inference.serving.heatmaps import overlay_png
from services.inference.serving.predictor import explanation, operating_point
from shared.api.protocols import (
    EncodedPicture,
    InstanceExplanation,
    InstanceExplanations,
    InstancePrediction,
    InstancePredictions,
    Instances,
    ModelReady,
)
from shared.errors import InputError


def blueprint(service: InferenceService) -> Blueprint:
    """Create the routes of KServe V1."""
    api = Blueprint("kserve", __name__)

    @api.get("/v1/models/<name:network>")
    @describe("kserve v1", "Check that a network is ready", ModelReady, errors=(404, 503))
    def ready(network: str) -> Response:
        return request_parsing.json_response(ModelReady(name=service.model(network).card.network))

    @api.post("/v1/models/<name:network>:predict")
    @describe(
        "kserve v1", "Predict instances", InstancePredictions, body=(Instances,), errors=(400, 404, *IMAGE_ERRORS)
    )
    def predict(network: str) -> Response:
        model = service.model(network)
        predictions = predict_all(service, model, _images())
        return request_parsing.json_response(
            InstancePredictions(
                predictions=tuple(
                    InstancePrediction(
                        label=each.label,
                        probabilities=probabilities_of(each.probabilities),
                        score=round(each.score, 6),
                        applies=applicability_answer(model.card, each).applies,
                    )
                    for each in predictions
                )
            )
        )

    @api.post("/v1/models/<name:network>:explain")
    @describe(
        "kserve v1", "Explain instances", InstanceExplanations, body=(Instances,), errors=(400, 404, *IMAGE_ERRORS)
    )
    def explain(network: str) -> Response:
        """Return each instance's class-activation map, a PNG overlay with transparency."""
        model = service.model(network)
        if model.head is None:
            raise InputError(f"{model.card.network} has no activation map; request predictions only")
        explain = explanation(operating_point(model.card, "screening"))
        predictions = predict_all(service, model, _images(), explain=explain)
        return request_parsing.json_response(
            InstanceExplanations(
                explanations=tuple(
                    InstanceExplanation(
                        label=each.label,
                        explained=each.explained,
                        heatmap=EncodedPicture(b64=b64encode(overlay_png(each.heat)).decode()),
                    )
                    for each in predictions
                    if each.heat is not None and each.explained is not None
                )
            )
        )

    return api


def _images() -> list[UploadedFilm]:
    instances = request_parsing.body(Instances).instances
    return [UploadedFilm(place, None, instance.image.b64) for place, instance in enumerate(instances)]
