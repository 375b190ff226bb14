"""What orchestrators and Prometheus ask: alive, ready, metrics."""

from functools import cache

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest

from services.inference.api.auth import needs
from services.inference.api.openapi import Media, describe
from services.inference.api.request_parsing import sent
from services.inference.service import InferenceService
from shared import metrics
from shared.api.service import Alive, Ready

_EXPOSITION = "text/plain; version=0.0.4"


def blueprint(service: InferenceService) -> Blueprint:
    api = Blueprint("probes", __name__)

    @cache
    def of_broker() -> CollectorRegistry:
        from shared.queue.broker_metrics import broker_registry  # noqa: PLC0415  a service that starts needs no broker

        return broker_registry(service.config)

    @api.get("/healthz")
    @needs(None)
    @describe("probes", "Whether the process is alive", Alive)
    def healthz() -> Response:
        return sent(Alive())

    @api.get("/readyz")
    @needs(None)
    @describe("probes", "Whether a checked model is loaded", Ready, errors=(503,))
    def readyz() -> Response:
        """Ready means that the checksums of the model's files are right and its golden inputs gave their answers."""
        card = service.keeper.current.card
        return sent(Ready(network=card.network, version=card.version))

    @api.get("/metrics")
    @needs("metrics")
    @describe("probes", "Everything that is counted, for Prometheus", Media(("text/plain",), {"type": "string"}))
    def exposition() -> Response:
        return Response(metrics.exposition() + generate_latest(of_broker()), mimetype=_EXPOSITION)

    return api
