"""Assemble the HTTP application: APIs, page, headers and metrics."""

import logging
import re
import time
import uuid
from pathlib import Path

from flask import Flask, Response, g, request, send_from_directory
from werkzeug.routing import BaseConverter

from services.inference.admission.bodies import receive_bodies
from services.inference.admission.byte_budget import ByteBudget
from services.inference.admission.gunicorn_worker import hang_up_after_answer
from services.inference.api import (
    api_keys,
    batches,
    exams,
    kserve_v1,
    open_inference,
    openapi_page,
    predictions,
    probes,
    problems,
)
from services.inference.api.auth import guard, needs
from services.inference.service import InferenceService
from shared import metrics
from shared.settings import InferenceProcessSettings

_PAGE = Path(__file__).parent / "page"
_FIRST_LOOK_S = 20.0
_PROBES = ("/healthz", "/readyz", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A client's own id of a request is taken if it has this format; nothing else that it sends gets into the logs."""

_log = logging.getLogger("mammostack.inference")

_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _Name(BaseConverter):
    """The name of a network or of a version in a path. No colon: behind one stands KServe's verb."""

    regex = "[^/:]{1,100}"


def create_app(settings: InferenceProcessSettings) -> Flask:
    """Create the application and start the thread that keeps the model loaded."""
    service = InferenceService(settings)
    # Connections wait in the listening socket meanwhile: a worker that replaces a dead one refuses nobody.
    service.wait_for_first_look(_FIRST_LOOK_S)

    app = Flask(__name__, static_folder=None)
    app.extensions["inference"] = service
    app.url_map.converters["name"] = _Name
    for api in (probes, predictions, exams, batches, open_inference, kserve_v1, api_keys):
        app.register_blueprint(api.blueprint(service))
    app.register_blueprint(openapi_page.blueprint())
    _add_page(app)
    app.before_request(_begin)
    guard(app, service.authenticator)
    app.extensions["byte_budget"] = ByteBudget(settings.serving.in_hand_mb << 20)
    receive_bodies(app, settings.serving, app.extensions["byte_budget"])
    app.after_request(_end)
    problems.register(app)
    return app


def _add_page(app: Flask) -> None:
    @app.get("/")
    @needs(None)
    def index() -> Response:
        return send_from_directory(_PAGE, "index.html")

    @app.get("/page/<path:name>")
    @needs(None)
    def page(name: str) -> Response:
        return send_from_directory(_PAGE, name)


def _begin() -> None:
    began, client_id = time.perf_counter(), request.headers.get("X-Request-Id", "")
    g.request_id = client_id if _REQUEST_ID.fullmatch(client_id) else uuid.uuid4().hex
    g.elapsed = lambda: time.perf_counter() - began


def _end(response: Response) -> Response:
    if not g.get("received") and (request.content_length or "Transfer-Encoding" in request.headers):
        hang_up_after_answer()
    route = request.url_rule.rule if request.url_rule else "unknown"
    seconds = g.elapsed()
    metrics.REQUESTS.labels(route, str(response.status_code)).inc()
    metrics.REQUEST_SECONDS.labels(route).observe(seconds)
    if route not in _PROBES:
        fields = {"request_id": g.request_id, "route": route, "status": response.status_code}
        _log.info("request", extra={**fields, "seconds": round(seconds, 4)})
    response.headers["X-Request-Id"] = g.request_id
    for name, value in _SECURITY.items():
        response.headers.setdefault(name, value)
    return response
