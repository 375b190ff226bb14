"""STOW-RS as a server (PS3.18 10.5): takes films over HTTP."""

import hmac
import logging
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from services.gateway.films import read_header
from services.gateway.inbox import is_wanted
from services.gateway.transport.multipart import MalformedMultipart, boundary_of, parts
from services.gateway.transport.scp import ListenerOptions, is_full
from shared import metrics
from shared.errors import ImageError, StoreError

_OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0xA700, 0xC000
_log = logging.getLogger("mammostack.gateway")


def blueprint(options: ListenerOptions, keep: Callable[[bytes], bool], token: str | None) -> Blueprint:
    """Create the routes.

    Args:
        token: that senders give as a bearer token; None: none is asked for, allowed on loopback alone.
    """
    api = Blueprint("stow", __name__)

    @api.post("/dicom-web/studies")
    @api.post("/dicom-web/studies/<study>")
    def store(study: str | None = None) -> Response:
        """Store the parts of a multipart/related body, and say which were."""
        given = request.headers.get("Authorization", "")
        if token is not None and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return _problem(401, "send the token of MAMMO_GATEWAY_TOKEN as Authorization: Bearer TOKEN")
        stored: list[Any] = []
        failed: list[Any] = []
        try:
            boundary = boundary_of(request.headers.get("Content-Type", ""))
            for data in parts(request.stream.read, boundary, options.most_bytes):
                _take(data, study, options, keep, stored, failed)
        except MalformedMultipart as error:
            return _problem(400, str(error))
        status = 200 if not failed else 202 if stored else 409
        answer: dict[str, Any] = {}
        if stored:
            answer["00081199"] = {"vr": "SQ", "Value": stored}
        if failed:
            answer["00081198"] = {"vr": "SQ", "Value": failed}
        response = jsonify(answer)
        response.status_code, response.mimetype = status, "application/dicom+json"
        return response

    return api


def _take(
    data: bytes,
    study: str | None,
    options: ListenerOptions,
    keep: Callable[[bytes], bool],
    stored: list[Any],
    failed: list[Any],
) -> None:
    """Keep one part, and add it to what was stored or what failed."""
    try:
        header = read_header(data)
    except ImageError:
        metrics.GATEWAY_RECEIVED.labels("unreadable").inc()
        failed.append({"00081197": {"vr": "US", "Value": [_CANNOT_UNDERSTAND]}})
        return
    item = {
        "00081150": {"vr": "UI", "Value": [header.sop_class]},
        "00081155": {"vr": "UI", "Value": [header.sop_uid]},
    }
    reason = None
    if study is not None and header.study_uid != study:
        reason = _CANNOT_UNDERSTAND
    elif is_wanted(header.sop_class):
        reason = _kept(data, options, keep)
    else:
        metrics.GATEWAY_RECEIVED.labels("other object").inc()
    if reason is None:
        stored.append(item)
    else:
        failed.append({**item, "00081197": {"vr": "US", "Value": [reason]}})


def _kept(data: bytes, options: ListenerOptions, keep: Callable[[bytes], bool]) -> int | None:
    """Keep a film; return None, or the reason why it is refused for now."""
    if is_full(options):
        metrics.GATEWAY_RECEIVED.labels("disk full").inc()
        return _OUT_OF_RESOURCES
    try:
        metrics.GATEWAY_RECEIVED.labels("kept" if keep(data) else "repeated").inc()
    except StoreError:
        metrics.GATEWAY_RECEIVED.labels("store away").inc()
        return _OUT_OF_RESOURCES
    except Exception as error:  # noqa: BLE001  Flask would log its words, which may quote a header
        _log.error("film refused: %s", type(error).__name__)
        metrics.GATEWAY_RECEIVED.labels("failed").inc()
        return _OUT_OF_RESOURCES
    metrics.GATEWAY_BYTES.inc(len(data))
    return None


def _problem(status: int, detail: str) -> Response:
    response = jsonify(type="about:blank", title="invalid-input", status=status, detail=detail)
    response.status_code, response.mimetype = status, "application/problem+json"
    return response
