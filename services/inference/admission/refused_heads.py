"""Answers to requests that gunicorn refuses before the application sees them, as problem documents."""

import logging
import uuid
from http import HTTPStatus

from gunicorn.http import errors

from shared.api.problem import Problem

_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)
"""Raised while an answer is sent: no fault of the client."""

_STATUS: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG),
    (errors.LimitRequestHeaders, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, HTTPStatus.NOT_IMPLEMENTED),
    (errors.ExpectationFailed, HTTPStatus.EXPECTATION_FAILED),
    (errors.ForbiddenProxyRequest, HTTPStatus.FORBIDDEN),
    (errors.ConfigurationProblem, HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.ParseException, HTTPStatus.BAD_REQUEST),
)
_DETAILS = {
    HTTPStatus.BAD_REQUEST: "the request is not valid HTTP/1.1: its first line, a header or a chunk is wrong",
    HTTPStatus.REQUEST_URI_TOO_LONG: "the first line of the request is too long; send data in the body",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the request has too many or too long headers; send fewer",
    HTTPStatus.NOT_IMPLEMENTED: "the Transfer-Encoding is not supported; send a Content-Length, or chunked",
    HTTPStatus.EXPECTATION_FAILED: "the Expect header is not supported; omit it, or send 100-continue",
    HTTPStatus.FORBIDDEN: "the request came through a proxy that is not trusted",
}
_log = logging.getLogger("mammostack.inference")


def refusal(error: Exception) -> bytes:
    """Return the whole answer to a request that failed with an error of gunicorn's, and log the error.

    The answer quotes nothing of the request. Any other error is one of the service: 500.
    """
    request_id = uuid.uuid4().hex
    status = _status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("request failed", extra={"request_id": request_id}, exc_info=error)
    else:
        _log.warning("request refused", extra={"request_id": request_id, "reason": type(error).__name__})
    detail = _DETAILS.get(status, f"unexpected error; see the service's log for request {request_id}")
    title = "internal" if status == HTTPStatus.INTERNAL_SERVER_ERROR else status.phrase.lower().replace(" ", "-")
    problem = Problem(title=title, status=status, detail=detail, request_id=request_id)
    body = problem.model_dump_json().encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"X-Request-Id: {request_id}\r\n\r\n"
    )
    return head.encode() + body


def _status_of(error: Exception) -> HTTPStatus:
    if isinstance(error, _OURS):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    found = (status for kind, status in _STATUS if isinstance(error, kind))
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)
