"""KServe's V1 protocol: instances with a base64 image in, predictions or explanations out."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Any

from flask import Blueprint, Response, jsonify, request

from services.inference.api.native import probabilities_of
from services.inference.explain import overlay_png
from services.inference.service import MOST_IMAGES, InferenceService
from shared.errors import InputError


def blueprint(service: InferenceService) -> Blueprint:
    api = Blueprint("kserve", __name__)

    @api.get("/v1/models/<network>")
    def ready(network: str) -> Response:
        return jsonify(name=service.model(network).card.network, ready=True)

    @api.post("/v1/models/<network>:predict")
    def predict(network: str) -> Response:
        model = service.model(network)
        found = [service.predict(model, image) for image in parse(request.get_json(force=True, silent=True))]
        predictions = [
            {"class": each.label.value, "probabilities": probabilities_of(each), "score": round(each.score, 6)}
            for each in found
        ]
        return jsonify(predictions=predictions)

    @api.post("/v1/models/<network>:explain")
    def explain(network: str) -> Response:
        model = service.model(network)
        images = parse(request.get_json(force=True, silent=True))
        found = [service.predict(model, image, explain=True) for image in images]
        explanations = [
            {"class": each.label.value, "heatmap": {"b64": b64encode(overlay_png(each.heat)).decode()}}
            for each in found
            if each.heat is not None
        ]
        return jsonify(explanations=explanations)

    return api


def parse(document: Any) -> list[bytes]:
    """The images of `{"instances": [{"image": {"b64": "..."}}]}`. Raises InputError."""
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list) or not 1 <= len(instances) <= MOST_IMAGES:
        raise InputError(f"send an object with a list of instances, at most {MOST_IMAGES}")
    return [_image(instance) for instance in instances]


def _image(instance: Any) -> bytes:
    image = instance.get("image") if isinstance(instance, dict) else None
    text = image.get("b64") if isinstance(image, dict) else None
    if not isinstance(text, str):
        raise InputError('an instance must be {"image": {"b64": "..."}}')
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise InputError(f"an image is not base64: {error}") from error
