"""The page as the service serves it, over answers about one generated film; `python -m tests.e2e.page_stub` to look."""

import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from flask import Flask, Response, jsonify, request, send_from_directory
from werkzeug.serving import make_server

from shared.datasets.manifest import Label
from shared.datasets.phantom import SyntheticFilm, render

PAGE = Path(__file__).resolve().parents[2] / "services" / "inference" / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PROBLEMS = {
    415: ("unsupported-image", "the file is a PDF; send a PGM, PNG, JPEG, TIFF or DICOM"),
    422: ("not-a-mammogram", "no breast with a skin line was found; send one whole mammogram"),
    503: ("model-not-ready", "no model is loaded yet; try again when /readyz answers 200"),
}
DECISIONS = {b"normal": ("normal", 0.12), b"slow": ("normal", 0.12), b"uncertain": ("uncertain", 0.44)}
FILM = render(np.random.default_rng(7), "right", "G", Label.MALIGNANT)


class Stub:
    """`key` is what callers have to send, None asks for none; `keys` collects what they sent with films. A body that is
    a status is answered with that problem, one that is a decision with that decision, "plain" as by a network without
    a heat map that learned from real films, "slow" as normal but late, all others as a film."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.keys: list[str | None] = []
        self.app = Flask(__name__, static_folder=None)
        self.app.add_url_rule("/", view_func=lambda: send_from_directory(PAGE, "index.html"), endpoint="index")
        self.app.add_url_rule("/page/<path:name>", view_func=lambda name: send_from_directory(PAGE, name))
        self.app.add_url_rule("/v1/predictions", view_func=self._predict, methods=["POST"])
        self.app.add_url_rule("/v1/models/<network>/card", view_func=self._card, endpoint="card")
        self.app.after_request(_protect)

    def _predict(self) -> Response:
        self.keys.append(request.headers.get("Authorization"))
        if self._refused():
            return _problem(401, "unauthorized", "send an API key as 'Authorization: Bearer KEY'")
        data = request.get_data()
        if data.isdigit():
            return _problem(int(data), *PROBLEMS[int(data)])
        if data == b"slow":
            time.sleep(0.4)
        found = answer(*DECISIONS.get(data, ("abnormal", 0.9)))
        if data == b"plain":
            found["heatmap"] = None
            found["model"] |= {"dataset": "mias", "synthetic": False}
        return jsonify(found)

    def _card(self, network: str) -> Response:
        if self._refused():
            return _problem(401, "unauthorized", "send an API key as 'Authorization: Bearer KEY'")
        return jsonify(card(network))

    def _refused(self) -> bool:
        return self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}"


@contextmanager
def running(stub: Stub) -> Iterator[str]:
    """Serves the stub on loopback; gives its address."""
    server = make_server("127.0.0.1", 0, stub.app, threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def film_file() -> bytes:
    """The film as PGM, which no browser can show."""
    return cv2.imencode(".pgm", FILM.pixels)[1].tobytes()


def answer(decision: str, score: float) -> dict[str, Any]:
    height, width = FILM.pixels.shape
    x, y, box_width, box_height = cv2.boundingRect(FILM.parenchyma)
    contours, _ = cv2.findContours(FILM.parenchyma, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 1.5, closed=True)[:, 0]
    probabilities = {"normal": 1 - score, "benign": score * 0.25, "malignant": score * 0.75}
    likely = max(probabilities, key=lambda name: probabilities[name])
    return {
        "request_id": "5f0c6e1f3b7a4a0e9d2c8b1a7e6d5c4b",
        "class": likely,
        "probabilities": probabilities,
        "decision": {
            "answer": decision,
            "score": score,
            "operating_point": {
                "name": "screening",
                "threshold": 0.41,
                "sensitivity": {"value": 0.91, "low": 0.8, "high": 0.97},
                "specificity": {"value": 0.4, "low": 0.3, "high": 0.5},
            },
            "uncertain_between": [0.35, 0.47],
        },
        "gate": {"passed": True, "score": 0.97, "reason": "a breast with its skin line was found"},
        "image": {"width": width, "height": height, "bits": 8},
        "breast_box": {"x": x, "y": y, "width": box_width, "height": box_height},
        "outline": outline.tolist(),
        "heatmap": {"class": likely, "png": _png(_heat(FILM))},
        "view": {"png": _png(FILM.pixels)},
        "model": {
            "network": "resnet50",
            "version": "20261122-190722-b05b",
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "dataset": "synthetic",
            "synthetic": True,
        },
        "seconds": {
            "queue": 0.0,
            "decode": 0.0102,
            "segment": 0.0231,
            "network": 0.0504,
            "explain": 0.0021,
            "total": 0.0913,
        },
        "notice": "For research only; not a medical device.",
    }


def card(network: str) -> dict[str, Any]:
    return {
        "network": network,
        "version": "20261122-190722-b05b",
        "intended_use": "Research on computer-aided reading of digitised screening mammograms. Not a medical device: "
        "no decision about a person may rest on its answers.",
        "limits": [
            "Trained on one data set of digitised films from one country and time; it has seen no digital mammography.",
            "It answers for a single film: no comparison of sides, views or earlier films.",
        ],
        "metrics": {
            "accuracy": {"value": 0.6, "low": 0.48, "high": 0.72},
            "macro_auc": {"value": 0.753, "low": 0.68, "high": 0.84},
            "macro_f1": {"value": 0.563, "low": None, "high": None},
            "n_films": 80,
            "n_patients": 40,
        },
        "dataset": "synthetic",
        "synthetic": True,
        "protocol": "patient",
        "data_terms": "Generated films; no person's data.",
    }


def _heat(film: SyntheticFilm) -> npt.NDArray[np.uint8]:
    lesion = next(lesion for lesion in film.lesions if lesion.x is not None)
    y, x = np.mgrid[0:256, 0:256].astype(np.float32) * 4
    heat = np.exp(-((x - lesion.x) ** 2 + (y - lesion.y) ** 2) / 2 / 110**2)
    heat[cv2.resize(film.breast, (256, 256), interpolation=cv2.INTER_NEAREST) == 0] = 0
    grey = np.rint(heat * 255).astype(np.uint8)
    return np.dstack([cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), grey])


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    return b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()


def _problem(status: int, title: str, detail: str) -> Response:
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail, "request_id": "0f3e5c7a"}
    response = jsonify(members)
    response.status_code, response.mimetype = status, "application/problem+json"
    if status == 503:
        response.headers["Retry-After"] = "2"
    return response


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


if __name__ == "__main__":
    Stub().app.run("127.0.0.1", 8099)
