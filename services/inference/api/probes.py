"""Routes for orchestrators and Prometheus: liveness, readiness, metrics."""

from functools import cache

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest

from services.inference.api.auth import needs
from services.inference.api.openapi import Media, describe
from services.inference.api.request_parsing import json_response
from services.inference.service import InferenceService
from shared import metrics
from shared.api.service import Alive, Ready

_EXPOSITION = "text/plain; version=0.0.4"


def blueprint(service: InferenceService) -> Blueprint:
    """Create the routes of liveness, readiness and metrics."""
    api = Blueprint("probes", __name__)

    @cache
    def of_broker() -> CollectorRegistry:
        from shared.queue.broker_metrics import broker_registry  # noqa: PLC0415  a service that starts needs no broker

        return broker_registry(service.settings.broker)

    @api.get("/healthz")
    @needs(None)
    @describe("probes", "Check that the process is alive", Alive)
    def healthz() -> Response:
        return json_response(Alive())

    @api.get("/readyz")
    @needs(None)
    @describe("probes", "Check that a verified model is loaded", Ready, errors=(503,))
    def readyz() -> Response:
        """Check that a model with verified checksums and golden outputs is loaded."""
        card = service.keeper.current.card
        return json_response(Ready(network=card.network, version=card.version))

    @api.get("/metrics")
    @needs("metrics")
    @describe("probes", "Get the metrics for Prometheus", Media(("text/plain",), {"type": "string"}))
    def exposition() -> Response:
        return Response(metrics.exposition() + generate_latest(of_broker()), mimetype=_EXPOSITION)

    return api
