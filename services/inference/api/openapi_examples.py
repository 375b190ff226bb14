"""Examples of requests and responses for the OpenAPI document.

A test validates each example against its type. The example film is generated when this module is imported, so that
trying a route in the browser returns a real prediction.
"""

from base64 import b64encode
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel

from shared.api.batches import Batch, BatchList, BatchRequest
from shared.api.exams import ExamPrediction
from shared.api.keys import KeyFacts, KeyList, KeyMade, KeyRequest
from shared.api.predictions import PredictionAnswer
from shared.api.problem import Problem, ProtocolProblem
from shared.api.protocols import (
    InferRequest,
    InferResponse,
    InstanceExplanations,
    InstancePredictions,
    Instances,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from shared.api.service import Alive, ModelList, Ready, UsageLimits
from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_png
from shared.modelling.exams import RULE

_VERSION = "20261122-190722-b05b"
_REQUEST = "7d3f0c1e9b5a4e0f8c2d6a1b3e5f7a9c"
_FILM_FILE = b64encode(
    encode_png(
        np.asarray(
            cv2.resize(render(np.random.default_rng(3), "left", "G", Label.MALIGNANT).pixels, (208, 208)), np.uint8
        )
    )
).decode()
_PICTURE = "iVBORw0KGgo="
_PROBABILITIES = {"normal": 0.12, "benign": 0.25, "malignant": 0.63}
_POINT = {
    "name": "screening",
    "threshold": 0.31,
    "sensitivity": {"value": 0.9, "low": 0.82, "high": 0.96},
    "specificity": {"value": 0.61, "low": 0.52, "high": 0.7},
}
_DECISION = {"answer": "abnormal", "score": 0.88, "operating_point": _POINT, "uncertain_between": [0.24, 0.42]}
_SAID = {"class": "malignant", "probabilities": _PROBABILITIES, "decision": _DECISION}
_FILM = {
    **_SAID,
    "gate": {"passed": True, "score": 0.99, "reason": "a breast was found"},
    "image": {"width": 1024, "height": 1024, "bits": 8, "format": "PGM", "reduction": 1},
    "about": {
        "view": {"name": "MLO", "source": "file", "modifiers": []},
        "laterality": {"name": "R", "source": "file"},
        "chest_wall": "right",
        "acquisition": "digital",
        "vendor": "Hologic",
        "implant": False,
        "windows": [{"name": "NORMAL", "centre": 2048.0, "width": 3200.0}],
        "disagreements": [],
        "notes": [],
    },
    "applicability": {
        "applies": False,
        "reasons": [
            "the model was not trained on such films: it was trained on oblique (MLO) film scans of 8 bits only; "
            "this is a digital oblique (MLO) film of 12 bits by Hologic"
        ],
        "misfits": ["acquisition", "bits"],
        "unknown": ["vendor"],
    },
    "breast_box": {"x": 412, "y": 96, "width": 388, "height": 840},
    "seconds": {"queue": 0.0, "decode": 0.0004, "segment": 0.0031, "network": 0.0412, "total": 0.0451},
    "outline": [[800, 96], [520, 240], [412, 560], [610, 900], [800, 936]],
}
_SAID_BY = {
    "request_id": _REQUEST,
    "model": {
        "network": "resnet50",
        "version": _VERSION,
        "file": "model.onnx",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "engine": "openvino-bf16",
        "dataset": "mias",
        "synthetic": False,
    },
    "notice": "For research only; not a medical device.",
}
_REFUSED = {
    "code": "unsupported-image",
    "detail": "unsupported image format; send PGM (P5), PNG, JPEG, TIFF or DICOM",
    "status": 415,
}
_KEY = {
    "id": "k3v9x2",
    "name": "clinic-a",
    "scopes": ["predict"],
    "created": "2026-11-24T08:00:00+00:00",
    "expires": None,
    "requests_a_minute": 600,
    "requests_at_once": 8,
}
_BATCH = {
    "id": "0c9b7d2f4e6a48118f3d5b7a9c1e2f40",
    "state": "running",
    "network": "resnet50",
    "version": _VERSION,
    "operating_point": "screening",
    "explain": None,
    "images": 1200,
    "done": 480,
    "failed": 2,
    "created": "2026-11-24T08:00:00.000+00:00",
    "ended": None,
}
_PROBLEM = {
    "type": "about:blank",
    "title": "not-a-mammogram",
    "status": 422,
    "detail": "no breast was found; send one whole mammogram",
    "request_id": _REQUEST,
    "gate": {"passed": False, "score": 0.0, "reason": "no breast was found"},
}

EXAMPLES: dict[type[BaseModel], Any] = {
    Alive: {"status": "alive"},
    Ready: {"status": "ready", "network": "resnet50", "version": _VERSION},
    PredictionAnswer: {**_FILM, **_SAID_BY},
    ExamPrediction: {
        "films": [
            {"position": 0, "name": "right.dcm", "finding": _FILM, "side_by_side": {**_SAID, "beside": [1]}},
            {"position": 1, "name": "left.dcm", "finding": _FILM, "side_by_side": {**_SAID, "beside": [0]}},
            {"position": 2, "name": "report.pdf", "problem": _REFUSED},
        ],
        "breasts": [
            {**_SAID, "laterality": "R", "films": [0], "figures_of": "breast"},
            {**_SAID, "laterality": "L", "films": [1], "figures_of": "breast"},
        ],
        "exam": {**_SAID, "laterality": "R", "figures_of": "exam"},
        "rule": RULE,
        **_SAID_BY,
    },
    ModelList: {"models": ["resnet50"], "details": [{"name": "resnet50", "ready": True, "version": _VERSION}]},
    UsageLimits: {
        "body_mb": 64,
        "request_mb": 256,
        "image_pixels": 100_000_000,
        "images_in_a_request": 8,
        "films_in_an_exam": 12,
        "formats": ["PGM", "PNG", "JPEG", "TIFF", "DICOM"],
        "requests_at_work": 8,
        "requests_waiting": 16,
        "longest_timeout_ms": 60_000,
        "key": {"requests_a_minute": 600, "requests_at_once": 8},
    },
    KeyRequest: {"name": "clinic-a", "scopes": ["predict"], "days": 365, "requests_a_minute": 600},
    KeyFacts: _KEY,
    KeyMade: {**_KEY, "key": "mammo_k3v9x2_shown-this-once"},
    KeyList: {"keys": [_KEY]},
    BatchRequest: {"prefix": "inbox/2026-11-24/", "operating_point": "screening"},
    Batch: _BATCH,
    BatchList: {"batches": [_BATCH]},
    ServerMetadata: {"name": "mammostack", "version": "0.1.0", "extensions": ["binary_tensor_data"]},
    ServerLive: {"live": True},
    ServerReady: {"ready": True, "live": True},
    ModelMetadata: {
        "name": "resnet50",
        "versions": [_VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}],
    },
    ModelReady: {"name": "resnet50", "ready": True},
    InferRequest: {
        "id": "7",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [_FILM_FILE]}],
        "outputs": [{"name": "probabilities"}],
    },
    InferResponse: {
        "model_name": "resnet50",
        "model_version": _VERSION,
        "id": "7",
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [1, 3], "data": [0.12, 0.25, 0.63]}],
    },
    Instances: {"instances": [{"image": {"b64": _FILM_FILE}}]},
    InstancePredictions: {
        "predictions": [{"class": "malignant", "probabilities": _PROBABILITIES, "score": 0.88, "applies": True}]
    },
    InstanceExplanations: {
        "explanations": [{"class": "malignant", "explained": "malignant", "heatmap": {"b64": _PICTURE}}]
    },
    Problem: _PROBLEM,
    ProtocolProblem: {**_PROBLEM, "error": _PROBLEM["detail"]},
}
