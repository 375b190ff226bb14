"""Our own API: image bytes in, JSON out."""

from base64 import b64encode
from typing import Any

import cv2
import numpy as np
from flask import Blueprint, Response, g, jsonify, request

from services.inference.explain import grey_png, overlay_png
from services.inference.predictor import Decision, Prediction, ServedModel, decide, operating_point
from services.inference.service import MOST_IMAGES, InferenceService, connection_closed
from shared.datasets.manifest import CLASSES
from shared.errors import InputError
from shared.imaging.decode import MAX_PIXELS, encode_png, to_8bit
from shared.modelling.card import ModelCard

NOTICE = "For research only; not a medical device."
FORMATS = ("PGM", "PNG", "JPEG", "TIFF")
_VIEW_EDGE = 2048
_LONGEST_TIMEOUT_MS = 60_000


def blueprint(service: InferenceService) -> Blueprint:
    """`/v1/predictions`, `/v1/explanations`, `/v1/models`, `/v1/usage-limits`."""
    api = Blueprint("native", __name__)

    @api.post("/v1/predictions")
    def predictions() -> Response:
        model = service.model()
        point = operating_point(model.card, request.args.get("operating_point", "screening"))
        explain, view = _flag("explain", "heatmap"), _flag("view", "1")
        found = [_predict(service, model, data, explain=explain) for data in _images()]
        films = [_film(each, decide(point, each.score), explain=explain, view=view) for each in found]
        common = {"request_id": g.request_id, "model": _model(model), "notice": notice(model.card)}
        if len(films) == 1:
            return jsonify({**films[0], **common})
        return jsonify({"films": films, "patient": _patient(found, films), **common})

    @api.post("/v1/explanations")
    def explanations() -> Response:
        model, form = service.model(), request.args.get("form", "overlay")
        if form not in ("overlay", "grey"):
            raise InputError(f"there is no form '{form}'; choose overlay or grey")
        images = _images()
        if len(images) > 1:
            raise InputError("send one image; an explanation is of one film")
        heat = _predict(service, model, images[0], explain=True).heat
        if heat is None:
            raise InputError(f"{model.card.network} has no activation map")
        return Response(overlay_png(heat) if form == "overlay" else grey_png(heat), mimetype="image/png")

    @api.get("/v1/models")
    def models() -> Response:
        card = service.keeper.current.card if service.keeper.ready else None
        names = [service.config.serve_network]
        details = [{"name": name, "ready": card is not None, "version": card and card.version} for name in names]
        return jsonify(models=names, details=details)  # KServe V1 reads `models`

    @api.get("/v1/models/<network>/card")
    def card(network: str) -> Response:
        return Response(service.model(network).card.model_dump_json(indent=1), mimetype="application/json")

    @api.get("/v1/usage-limits")
    def usage_limits() -> Response:
        return jsonify(
            body_mb=service.config.max_image_mb,
            image_pixels=MAX_PIXELS,
            images_in_a_request=MOST_IMAGES,
            formats=FORMATS,
            requests_at_work=service.lanes.lanes,
            requests_waiting=service.config.serve_waiting,
            longest_timeout_ms=_LONGEST_TIMEOUT_MS,
            key={
                "requests_a_minute": g.caller.requests_a_minute,
                "requests_at_once": g.caller.requests_at_once,
            },
        )

    return api


def notice(card: ModelCard) -> str:
    return f"{NOTICE} Trained on synthetic films." if card.synthetic else NOTICE


def probabilities_of(prediction: Prediction) -> dict[str, float]:
    values = prediction.probabilities.tolist()
    return {label.value: round(value, 6) for label, value in zip(CLASSES, values, strict=True)}


def _images() -> list[bytes]:
    """The images of a request: its body, or the files of a multipart form, all of one patient."""
    if request.mimetype == "multipart/form-data":
        uploads = [bytes(upload.read()) for _, upload in request.files.items(multi=True)]
        if not uploads:
            raise InputError("the form holds no file; send the image in a field such as 'image'")
        if len(uploads) > MOST_IMAGES:
            raise InputError(f"the form holds {len(uploads)} files; send at most {MOST_IMAGES} in a request")
        return uploads
    data = request.get_data(cache=False)
    if not data:
        raise InputError("the body is empty; send the image's bytes as they are in its file")
    return [data]


def _flag(name: str, yes: str) -> bool:
    value = request.args.get(name, "")
    if value not in ("", yes):
        raise InputError(f"{name}={value} is not known; it takes {yes}")
    return value == yes


def _timeout_s() -> float | None:
    value = request.args.get("timeout_ms")
    if value is None:
        return None
    if not value.isdecimal() or not 1 <= int(value) <= _LONGEST_TIMEOUT_MS:
        raise InputError(f"timeout_ms is '{value[:20]}'; give milliseconds from 1 to {_LONGEST_TIMEOUT_MS}")
    return int(value) / 1000


def _predict(service: InferenceService, model: ServedModel, data: bytes, *, explain: bool) -> Prediction:
    connection = request.environ.get("gunicorn.socket")
    return service.predict(
        model, data, explain=explain, timeout_s=_timeout_s(), is_gone=lambda: connection_closed(connection)
    )


def _film(found: Prediction, decision: Decision, *, explain: bool, view: bool) -> dict[str, Any]:
    height, width = found.image.pixels.shape
    segmentation = found.segmentation
    x, y, box_width, box_height = segmentation.box
    left = width - x - box_width if segmentation.flipped else x
    answer: dict[str, Any] = {
        "class": found.label.value,
        "probabilities": probabilities_of(found),
        "decision": _decision(decision),
        "gate": {"passed": True, "reason": "a breast was found"},
        "image": {"width": width, "height": height, "bits": found.image.bits},
        "breast_box": {"x": left, "y": y, "width": box_width, "height": box_height},
        "outline": _outline(found),
        "seconds": {phase: round(seconds, 5) for phase, seconds in found.seconds.items()},
    }
    answer["seconds"]["total"] = round(g.elapsed(), 5)
    if explain:
        png = None if found.heat is None else _base64(overlay_png(found.heat))
        answer["heatmap"] = png and {"class": found.label.value, "png": png}
    if view:
        answer["view"] = {"png": _base64(_view(found))}
    return answer


def _decision(decision: Decision) -> dict[str, Any]:
    point = decision.point
    return {
        "answer": decision.answer,
        "score": round(decision.score, 6),
        "operating_point": {
            "name": point.name,
            "threshold": point.threshold,
            "sensitivity": point.sensitivity.model_dump(),
            "specificity": point.specificity.model_dump(),
        },
        "uncertain_between": list(point.uncertain),
    }


def _patient(found: list[Prediction], films: list[dict[str, Any]]) -> dict[str, Any]:
    """A patient is as suspicious as the most suspicious film."""
    worst = max(range(len(films)), key=lambda index: found[index].score)
    return {"film": worst, **{name: films[worst][name] for name in ("class", "probabilities", "decision")}}


def _model(model: ServedModel) -> dict[str, Any]:
    card = model.card
    return {
        "network": card.network,
        "version": card.version,
        "sha256": card.files["model.onnx"],
        "dataset": card.dataset,
        "synthetic": card.synthetic,
    }


def _outline(found: Prediction) -> list[list[int]]:
    """The parenchyma's outline as a polygon in the film's pixels, within a pixel and a half of it."""
    mask = found.segmentation.mask
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygon = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 1.5, closed=True)[:, 0]
    if found.segmentation.flipped:
        polygon = np.column_stack([mask.shape[1] - 1 - polygon[:, 0], polygon[:, 1]])
    return [[int(x), int(y)] for x, y in polygon]


def _view(found: Prediction) -> bytes:
    """The film as a browser can show it: an 8-bit PNG, its longer edge at most 2048 pixels."""
    pixels = to_8bit(found.image)
    scale = _VIEW_EDGE / max(pixels.shape)
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_png(pixels)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
