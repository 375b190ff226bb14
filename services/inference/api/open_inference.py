"""Open Inference Protocol v2 with binary tensors, for Triton and KServe clients.

There is one input, `image` (BYTES, one image file per element), and four outputs: `probabilities` (FP32, N x 3),
`class` (BYTES, N), `score` (FP32, N; 1 - P(normal)) and `applies` (BYTES, N; yes, no or unknown: the model was trained
on such films).
"""

import struct
from typing import get_args

import numpy as np
from flask import Blueprint, Response, request

from services.inference.api import request_parsing
from services.inference.api.auth import needs
from services.inference.api.openapi import Media, describe
from services.inference.api.uploads import IMAGE_ERRORS, UploadedFilm, predict_all
from services.inference.findings import applicability_answer
from services.inference.service import InferenceService
from services.inference.serving.predictor import Prediction
from shared import __version__
from shared.api.protocols import (
    MOST_IMAGES,
    BinarySize,
    ImageTensor,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    Number,
    OutputName,
    OutputTensor,
    RequestedOutput,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from shared.errors import InputError
from shared.modelling.card import ModelCard

_HEADER = "Inference-Header-Content-Length"
_OUTPUTS: tuple[OutputName, ...] = get_args(OutputName)
_TEXTS = ("class", "applies")
_BINARY = Media(("application/octet-stream",), {})
_LENGTH = {_HEADER: "Number of bytes of JSON before the binary tensors"}


def blueprint(service: InferenceService) -> Blueprint:
    """Create the routes of the Open Inference Protocol v2."""
    api = Blueprint("oip", __name__)
    _add_server(api, service)
    _add_models(api, service)
    return api


def _add_server(api: Blueprint, service: InferenceService) -> None:
    @api.get("/v2")
    @describe("open inference protocol", "Get the server's metadata", ServerMetadata)
    def server() -> Response:
        return request_parsing.json_response(
            ServerMetadata(name="mammostack", version=__version__, extensions=("binary_tensor_data",))
        )

    @api.get("/v2/health/live")
    @needs(None)
    @describe("open inference protocol", "Check that the server is alive", ServerLive)
    def live() -> Response:
        return request_parsing.json_response(ServerLive())

    @api.get("/v2/health/ready")
    @needs(None)
    @describe("open inference protocol", "Check that the server is ready", ServerReady, errors=(503,))
    def ready() -> Response:
        service.model()
        return request_parsing.json_response(ServerReady())


def _add_models(api: Blueprint, service: InferenceService) -> None:
    @api.get("/v2/models/<name:network>")
    @api.get("/v2/models/<name:network>/versions/<name:version>")
    @describe("open inference protocol", "Get a model's metadata", ModelMetadata, errors=(404, 503))
    def metadata(network: str, version: str | None = None) -> Response:
        card = service.model(network, version).card
        return request_parsing.json_response(
            ModelMetadata(
                name=card.network,
                versions=(card.version,),
                platform="onnxruntime_onnx",
                inputs=(TensorMetadata(name="image", datatype="BYTES", shape=(-1,)),),
                outputs=(
                    TensorMetadata(name="probabilities", datatype="FP32", shape=(-1, 3)),
                    TensorMetadata(name="class", datatype="BYTES", shape=(-1,)),
                    TensorMetadata(name="score", datatype="FP32", shape=(-1,)),
                    TensorMetadata(name="applies", datatype="BYTES", shape=(-1,)),
                ),
            )
        )

    @api.get("/v2/models/<name:network>/ready")
    @api.get("/v2/models/<name:network>/versions/<name:version>/ready")
    @describe("open inference protocol", "Check that a model is ready", ModelReady, errors=(404, 503))
    def model_ready(network: str, version: str | None = None) -> Response:
        return request_parsing.json_response(ModelReady(name=service.model(network, version).card.network))

    @api.post("/v2/models/<name:network>/infer")
    @api.post("/v2/models/<name:network>/versions/<name:version>/infer")
    @describe(
        "open inference protocol",
        "Predict up to 8 images",
        InferResponse,
        _BINARY,
        body=(InferRequest, _BINARY),
        headers=_LENGTH,
        errors=(400, 404, *IMAGE_ERRORS),
    )
    def infer(network: str, version: str | None = None) -> Response:
        """Send JSON only, or JSON followed by binary tensors, with the length header.

        A binary BYTES element is preceded by its length in four bytes, little-endian; in JSON it is base64.
        """
        model = service.model(network, version)
        infer_request, images = parse(request_parsing.raw_body(), request.headers.get(_HEADER))
        predictions = predict_all(
            service, model, [UploadedFilm(place, None, image) for place, image in enumerate(images)]
        )
        return _infer_response(infer_request, predictions, model.card)


def parse(body: bytes, header_length: str | None) -> tuple[InferRequest, list[bytes]]:
    """Parse a request: JSON only, or JSON of `header_length` bytes and binary tensors.

    Raises:
        InputError: the request is malformed.
    """
    size = _header_size(header_length, len(body))
    infer_request = request_parsing.body(InferRequest, body[:size])
    tensor = infer_request.inputs[0]
    images = _images(tensor, body[size:])
    if not 1 <= len(images) <= MOST_IMAGES or tensor.shape not in ([len(images)], [len(images), 1]):
        raise InputError(f"the shape of image must be [N] for N images, at most {MOST_IMAGES}; correct the request")
    return infer_request, images


def _header_size(header_length: str | None, length: int) -> int:
    if header_length is None:
        return length
    if not (header_length.isascii() and header_length.isdecimal()) or int(header_length[:12]) > length:
        raise InputError(f"{_HEADER} is not a number within the body's {length} bytes; correct the header")
    return int(header_length[:12])


def _images(tensor: ImageTensor, raw: bytes) -> list[bytes]:
    size = tensor.parameters and tensor.parameters.binary_data_size
    if size is None:
        if tensor.data is None:
            raise InputError("the input has no data; send a list of base64 strings, or raw bytes after the JSON")
        return tensor.data
    if size != len(raw):
        raise InputError(
            f"binary_data_size is {size}, but {len(raw)} bytes follow the JSON; correct binary_data_size or the body"
        )
    return _elements(raw)


def _elements(raw: bytes) -> list[bytes]:
    """Split BYTES elements, each preceded by its length (4 bytes, little-endian)."""
    elements: list[bytes] = []
    at = 0
    while at < len(raw):
        if len(raw) < at + 4:
            raise InputError("the binary data end within an element's length; send the complete data")
        if len(elements) == MOST_IMAGES:
            raise InputError(f"the tensor has more than {MOST_IMAGES} elements; send at most {MOST_IMAGES} images")
        (size,) = struct.unpack_from("<I", raw, at)
        at += 4 + size
        if at > len(raw):
            raise InputError(
                f"an element declares {size} bytes, but the binary data end before; send the complete data"
            )
        elements.append(raw[at - size : at])
    return elements


def _infer_response(infer_request: InferRequest, predictions: list[Prediction], card: ModelCard) -> Response:
    tensors, raw = [], b""
    all_binary = bool(infer_request.parameters and infer_request.parameters.binary_data_output)
    for output in infer_request.outputs or [RequestedOutput(name=name) for name in _OUTPUTS]:
        shape, values, packed = _tensor(output.name, predictions, card)
        requested = output.parameters and output.parameters.binary_data
        binary = all_binary if requested is None else requested
        tensors.append(
            OutputTensor(
                name=output.name,
                datatype="BYTES" if output.name in _TEXTS else "FP32",
                shape=shape,
                parameters=BinarySize(binary_data_size=len(packed)) if binary else None,
                data=None if binary else values,
            )
        )
        raw += packed if binary else b""
    response = InferResponse(
        model_name=card.network, model_version=card.version, id=infer_request.id, outputs=tuple(tensors)
    )
    if not raw:
        return request_parsing.json_response(response)
    head = response.model_dump_json().encode()
    return Response(head + raw, mimetype="application/octet-stream", headers={_HEADER: str(len(head))})


def _applies(card: ModelCard, prediction: Prediction) -> str:
    applies = applicability_answer(card, prediction).applies
    return "unknown" if applies is None else "yes" if applies else "no"


def _tensor(
    name: OutputName, predictions: list[Prediction], card: ModelCard
) -> tuple[tuple[int, ...], tuple[Number, ...], bytes]:
    """Return the shape, JSON values and raw bytes of an output."""
    if name in _TEXTS:
        words = [each.label.value if name == "class" else _applies(card, each) for each in predictions]
        packed = b"".join(struct.pack("<I", len(word)) + word.encode() for word in words)
        return (len(predictions),), tuple(words), packed
    if name == "score":
        values = np.array([each.score for each in predictions], "<f4")
    else:
        values = np.stack([each.probabilities for each in predictions]).astype("<f4")
    return values.shape, tuple(values.ravel().tolist()), values.tobytes()
