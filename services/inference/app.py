"""The HTTP shell: bytes in, JSON out, errors as problem documents (RFC 9457)."""

import logging
import os
import time
import uuid
from typing import Any

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from services.inference.models import ModelKeeper
from shared import metrics
from shared.datasets.manifest import CLASSES
from shared.errors import ImageError, InputError, MammoError
from shared.imaging.preprocess import prepare
from shared.logs import configure_logs
from shared.settings import Settings, settings
from shared.store.objects import open_store

NOTICE = "For research only; not a medical device."
_log = logging.getLogger("mammostack.inference")


def create_app(config: Settings | None = None) -> Flask:
    """The application, with a thread that keeps the promoted model loaded. Call it after gunicorn's fork."""
    config = config or settings()
    configure_logs(config.log_level)
    threads = config.cpu_threads or os.cpu_count() or 1
    keeper = ModelKeeper(open_store(config), config.serve_network, config.serve_alias, threads)
    keeper.watch(config.promotion_poll_s)

    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = config.max_image_mb * 2**20
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it
    _add_routes(app, keeper)
    app.before_request(_begin)
    app.after_request(_count)
    app.register_error_handler(MammoError, _mammo_problem)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _unexpected_problem)
    return app


def _add_routes(app: Flask, keeper: ModelKeeper) -> None:
    @app.get("/")
    def index() -> Response:
        return jsonify(
            service="mammostack inference",
            notice=NOTICE,
            predict="POST an image (PGM, PNG, JPEG, TIFF) as the body to /v1/predictions",
            health=["/healthz", "/readyz", "/metrics"],
        )

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="alive")

    @app.get("/readyz")
    def readyz() -> Response:
        card = keeper.current.card
        return jsonify(status="ready", network=card.network, version=card.version)

    @app.get("/metrics")
    def exposition() -> Response:
        return Response(metrics.exposition(), mimetype="text/plain; version=0.0.4")

    @app.post("/v1/predictions")
    def predictions() -> Response:
        return jsonify(_predict(keeper, _image_bytes()))


def _image_bytes() -> bytes:
    """The image of a request: its body, or the first file of a multipart form."""
    if request.mimetype == "multipart/form-data":
        for upload in request.files.values():
            return bytes(upload.read())
        raise InputError("the form holds no file; send the image in a field such as 'image'")
    data = request.get_data(cache=False)
    if not data:
        raise InputError("the body is empty; send the image's bytes as they are in its file")
    return data


def _predict(keeper: ModelKeeper, data: bytes) -> dict[str, Any]:
    model = keeper.current
    card = model.card
    began = time.perf_counter()
    try:
        prepared = prepare(data, model.preprocessing)
    except ImageError as error:
        metrics.REFUSALS.labels(error.code).inc()
        raise
    ready = time.perf_counter()
    probabilities = model.engine.run(prepared.input[None])[0].tolist()
    ended = time.perf_counter()
    predicted = CLASSES[probabilities.index(max(probabilities))]
    metrics.PREPROCESS_SECONDS.labels(card.network).observe(ready - began)
    metrics.PREDICT_SECONDS.labels(card.network, card.version).observe(ended - ready)
    metrics.PREDICTIONS.labels(card.network, card.version, predicted).inc()
    x, y, width, height = prepared.segmentation.box
    left = prepared.segmentation.mask.shape[1] - x - width if prepared.segmentation.flipped else x
    return {
        "request_id": g.request_id,
        "class": predicted.value,
        "probabilities": {label.value: round(p, 6) for label, p in zip(CLASSES, probabilities, strict=True)},
        "breast_box": {"x": left, "y": y, "width": width, "height": height},
        "model": {
            "network": card.network,
            "version": card.version,
            "sha256": card.files["model.onnx"],
            "dataset": card.dataset,
            "synthetic": card.synthetic,
        },
        "seconds": {
            "preprocess": round(ready - began, 5),
            "network": round(ended - ready, 5),
            "total": round(ended - g.began, 5),
        },
        "notice": f"{NOTICE} Trained on synthetic films." if card.synthetic else NOTICE,
    }


def _begin() -> None:
    g.request_id, g.began = uuid.uuid4().hex, time.perf_counter()


def _count(response: Response) -> Response:
    route = request.url_rule.rule if request.url_rule else "unknown"
    metrics.REQUESTS.labels(route, str(response.status_code)).inc()
    response.headers["X-Request-Id"] = g.request_id
    return response


def _mammo_problem(error: MammoError) -> Response:
    if error.http_status >= 500 and error.code != "model-not-ready":
        _log.error("request failed", extra={"request_id": g.request_id, "reason": str(error)})
    response = _problem(error.http_status, error.code, str(error))
    if error.retryable:
        response.headers["Retry-After"] = "2"
    return response


def _http_problem(error: HTTPException) -> Response:
    status = error.code or 500
    detail = error.description or error.name
    if status == 413:
        detail = "the image is larger than this service takes (MAMMO_MAX_IMAGE_MB)"
    response = _problem(status, error.name.lower().replace(" ", "-"), detail)
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _unexpected_problem(error: Exception) -> Response:
    _log.error("request failed", extra={"request_id": g.request_id}, exc_info=error)
    return _problem(500, "internal", f"an unexpected error; the log has it under request {g.request_id}")


def _problem(status: int, code: str, detail: str) -> Response:
    response = jsonify(type="about:blank", title=code, status=status, detail=detail, request_id=g.request_id)
    response.status_code = status
    response.mimetype = "application/problem+json"
    return response
