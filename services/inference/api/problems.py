"""Errors over HTTP: problem documents (RFC 9457).

On paths of the Open Inference and KServe protocols they also contain the members that those clients read.
"""

import logging

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from services.inference.admission.content_coding import CODINGS
from services.inference.admission.queueing import Overloaded
from services.inference.findings import gate_of
from shared.api.predictions import GateAnswer
from shared.api.problem import Problem, ProtocolProblem
from shared.errors import LimitReached, MammoError, NotAuthenticated, text_for_clients

FOREIGN = ("/v2", "/v1/models")
"""Paths of the protocols of others: tritonclient and kserve's client read `error`, and the latter only where the type
is exactly application/json."""

_RETRY_S = 2
_log = logging.getLogger("mammostack.inference")


def register(app: Flask) -> None:
    """Install the error handlers of all routes."""
    app.register_error_handler(MammoError, _expected)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _unexpected)


def _expected(error: MammoError) -> Response:
    hidden = error.for_clients is not None
    if (error.http_status >= 500 or hidden) and error.code not in ("model-not-ready", "deadline-passed"):
        _log.error("request failed", extra={"request_id": g.request_id, "reason": str(error)})
    response = _problem(error.http_status, error.code, text_for_clients(error), gate_of(error))
    if isinstance(error, NotAuthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Overloaded | LimitReached):
        response.headers["Retry-After"] = str(error.retry_after_s)
    elif error.retryable:
        response.headers["Retry-After"] = str(_RETRY_S)
    return response


def _of_http(error: HTTPException) -> Response:
    status = error.code or 500
    detail = error.description or error.name
    response = _problem(status, error.name.lower().replace(" ", "-"), detail)
    if status == 415:
        response.headers["Accept-Encoding"] = ", ".join(CODINGS)  # RFC 9110, 15.5.16
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    _log.error("request failed", extra={"request_id": g.request_id}, exc_info=error)
    return _problem(500, "internal", f"unexpected error; see the service's log for request {g.request_id}")


def _problem(status: int, code: str, detail: str, gate: GateAnswer | None = None) -> Response:
    foreign = request.path.startswith(FOREIGN)
    members = {"title": code, "status": status, "detail": detail, "request_id": g.request_id, "gate": gate}
    problem = ProtocolProblem(**members, error=detail) if foreign else Problem(**members)
    mimetype = "application/json" if foreign else "application/problem+json"
    return Response(problem.model_dump_json(), status, mimetype=mimetype)
