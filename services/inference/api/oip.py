"""The Open Inference Protocol v2 with its binary tensor extension, as Triton and KServe clients speak it.

One input, `image` (BYTES, one element an image file), and three outputs: `probabilities` (FP32, N x 3), `class` (BYTES,
N) and `score` (FP32, N; 1 - P(normal)).
"""

import json
import struct
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import Any

import numpy as np
from flask import Blueprint, Response, jsonify, request

from services.inference.api.scopes import needs
from services.inference.predictor import Prediction
from services.inference.service import MOST_IMAGES, InferenceService
from shared import __version__
from shared.errors import InputError

_HEADER = "Inference-Header-Content-Length"
_OUTPUTS = {"probabilities": "FP32", "class": "BYTES", "score": "FP32"}


@dataclass(frozen=True)
class InferRequest:
    """What a client asks: images as files, the outputs that it wants, and those of them that it wants as raw bytes."""

    id: str | None
    images: tuple[bytes, ...]
    outputs: tuple[str, ...]
    binary: frozenset[str]


def blueprint(service: InferenceService) -> Blueprint:
    api = Blueprint("oip", __name__)

    @api.get("/v2")
    def server() -> Response:
        return jsonify(name="mammostack", version=__version__, extensions=["binary_tensor_data"])

    @api.get("/v2/health/live")
    @needs(None)
    def live() -> Response:
        return jsonify(live=True)

    @api.get("/v2/health/ready")
    @needs(None)
    def ready() -> Response:
        service.model()
        return jsonify(ready=True, live=True)  # the protocol says live, kserve's client reads ready

    @api.get("/v2/models/<network>")
    @api.get("/v2/models/<network>/versions/<version>")
    def metadata(network: str, version: str | None = None) -> Response:
        card = service.model(network, version).card
        outputs = [
            {"name": name, "datatype": kind, "shape": [-1, 3] if name == "probabilities" else [-1]}
            for name, kind in _OUTPUTS.items()
        ]
        return jsonify(
            name=card.network,
            versions=[card.version],
            platform="onnxruntime_onnx",
            inputs=[{"name": "image", "datatype": "BYTES", "shape": [-1]}],
            outputs=outputs,
        )

    @api.get("/v2/models/<network>/ready")
    @api.get("/v2/models/<network>/versions/<version>/ready")
    def model_ready(network: str, version: str | None = None) -> Response:
        return jsonify(name=service.model(network, version).card.network, ready=True)

    @api.post("/v2/models/<network>/infer")
    @api.post("/v2/models/<network>/versions/<version>/infer")
    def infer(network: str, version: str | None = None) -> Response:
        model = service.model(network, version)
        asked = parse(request.get_data(cache=False), request.headers.get(_HEADER))
        found = [service.predict(model, image) for image in asked.images]
        return _answer(asked, found, model.card.network, model.card.version)

    return api


def parse(body: bytes, header_length: str | None) -> InferRequest:
    """Reads a request: JSON alone, or `header_length` bytes of JSON and raw tensors behind it. Raises InputError."""
    size = _header_size(header_length, len(body))
    try:
        document = json.loads(body[:size])
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list) or len(document["inputs"]) != 1:
        raise InputError("the request must be an object with one input, named image")
    tensor = document["inputs"][0]
    if not isinstance(tensor, dict) or (tensor.get("name"), tensor.get("datatype")) != ("image", "BYTES"):
        raise InputError("the input must be named image and have the datatype BYTES")
    images = _images(tensor, body[size:])
    if not 1 <= len(images) <= MOST_IMAGES or tensor.get("shape") not in ([len(images)], [len(images), 1]):
        raise InputError(f"the shape of image must be [N] with its N elements, at most {MOST_IMAGES}")
    outputs, binary = _outputs(document)
    name = document.get("id")
    return InferRequest(name if isinstance(name, str) else None, tuple(images), outputs, binary)


def _header_size(header_length: str | None, length: int) -> int:
    if header_length is None:
        return length
    if not header_length.isdecimal() or int(header_length) > length:
        raise InputError(f"{_HEADER} is '{header_length[:20]}', the body has {length} bytes")
    return int(header_length)


def _images(tensor: dict[str, Any], raw: bytes) -> list[bytes]:
    parameters = tensor.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None:
        if size != len(raw):
            raise InputError(f"binary_data_size is {size!r}, but {len(raw)} bytes follow the JSON")
        return _elements(raw)
    data = tensor.get("data")
    if not isinstance(data, list) or not all(isinstance(element, str) for element in data):
        raise InputError("the data of image must be a list of base64 strings, or follow as raw bytes")
    try:
        return [b64decode(element, validate=True) for element in data]
    except (Base64Error, ValueError) as error:
        raise InputError(f"the data of image is not base64: {error}") from error


def _elements(raw: bytes) -> list[bytes]:
    """BYTES elements, each behind its length in four bytes, least first."""
    elements = []
    while raw:
        if len(raw) < 4:
            raise InputError("the raw bytes end in the middle of an element's length")
        (size,) = struct.unpack("<I", raw[:4])
        if size > len(raw) - 4:
            raise InputError(f"an element says it has {size} bytes, {len(raw) - 4} are there")
        elements.append(raw[4 : 4 + size])
        raw = raw[4 + size :]
    return elements


def _outputs(document: dict[str, Any]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The outputs that are wanted, all where none is named, and which of them as raw bytes."""
    asked = document.get("outputs") or [{"name": name} for name in _OUTPUTS]
    if not isinstance(asked, list) or not all(isinstance(output, dict) for output in asked):
        raise InputError("outputs must be a list of objects")
    names = tuple(output.get("name") for output in asked)
    if unknown := [name for name in names if not isinstance(name, str) or name not in _OUTPUTS]:
        raise InputError(f"there is no output {unknown[0]!r}; choose of {', '.join(_OUTPUTS)}")
    general = document.get("parameters")
    by_default = bool(general.get("binary_data_output")) if isinstance(general, dict) else False
    binary = set()
    for output in asked:
        parameters = output.get("parameters")
        wanted = parameters.get("binary_data", by_default) if isinstance(parameters, dict) else by_default
        if wanted:
            binary.add(output["name"])
    return names, frozenset(binary)


def _answer(asked: InferRequest, found: list[Prediction], network: str, version: str) -> Response:
    tensors, raw = [], b""
    for name in asked.outputs:
        shape, values, packed = _tensor(name, found)
        tensor: dict[str, Any] = {"name": name, "datatype": _OUTPUTS[name], "shape": shape}
        if name in asked.binary:
            tensor["parameters"] = {"binary_data_size": len(packed)}
            raw += packed
        else:
            tensor["data"] = values
        tensors.append(tensor)
    document: dict[str, Any] = {"model_name": network, "model_version": version, "outputs": tensors}
    if asked.id is not None:
        document["id"] = asked.id
    if not raw:
        return jsonify(document)
    head = json.dumps(document).encode()
    response = Response(head + raw, mimetype="application/octet-stream")
    response.headers[_HEADER] = str(len(head))
    return response


def _tensor(name: str, found: list[Prediction]) -> tuple[list[int], list[Any], bytes]:
    """Shape, values for JSON, and raw bytes of an output."""
    if name == "class":
        words = [each.label.value for each in found]
        packed = b"".join(struct.pack("<I", len(word)) + word.encode() for word in words)
        return [len(found)], list(words), packed
    if name == "score":
        values = np.array([each.score for each in found], "<f4")
    else:
        values = np.stack([each.probabilities for each in found]).astype("<f4")
    return list(values.shape), values.ravel().tolist(), values.tobytes()
