"""What orchestrators and Prometheus ask: alive, ready, metrics."""

from flask import Blueprint, Response, jsonify

from services.inference.api.scopes import needs
from services.inference.service import InferenceService
from shared import metrics


def blueprint(service: InferenceService) -> Blueprint:
    api = Blueprint("probes", __name__)

    @api.get("/healthz")
    @needs(None)
    def healthz() -> Response:
        return jsonify(status="alive")

    @api.get("/readyz")
    @needs(None)
    def readyz() -> Response:
        card = service.keeper.current.card
        return jsonify(status="ready", network=card.network, version=card.version)

    @api.get("/metrics")
    @needs("metrics")
    def exposition() -> Response:
        return Response(metrics.exposition(), mimetype="text/plain; version=0.0.4")

    return api
