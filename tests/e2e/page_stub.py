"""The page as the service serves it, over answers about one generated film; `python -m tests.e2e.page_stub` to look.

The answers are built from the service's own types, so that they can't drift from what it says.
"""

import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import numpy.typing as npt
from flask import Flask, Response, request, send_from_directory
from werkzeug.serving import make_server

from shared.api.predictions import (
    Box,
    DecisionAnswer,
    GateAnswer,
    HeatMap,
    ImageFacts,
    ModelInUse,
    PointInUse,
    PredictionAnswer,
    Probabilities,
    Seconds,
    View,
)
from shared.api.problem import Problem
from shared.datasets.phantom import SyntheticFilm, render
from shared.domain.records import CLASSES, Label
from shared.modelling.calibration import OperatingPoint, verdict
from shared.modelling.card import ModelCard
from shared.modelling.metrics import Interval
from tests.builders import model_card

PAGE = Path(__file__).resolve().parents[2] / "services" / "inference" / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILM = render(np.random.default_rng(7), "right", "G", Label.MALIGNANT)
GATE = GateAnswer(passed=True, score=0.97, reason="it has the shape and the skin line of a mammogram")
NO_GATE = GateAnswer(passed=False, score=0.31, reason="there is no straight chest wall")
PROBLEMS = {
    b"pdf": (415, "unsupported-image", "the file is a PDF; send a PGM, PNG, JPEG, TIFF or DICOM", None),
    b"damaged": (422, "undecodable-image", "the PNG can't be decoded; send the file again", None),
    b"hand": (422, "not-a-mammogram", "there is no straight chest wall; send one whole mammogram", NO_GATE),
    b"early": (503, "model-not-ready", "no model is loaded yet; try again when /readyz answers 200", None),
}
SCORES = {b"normal": 0.12, b"slow": 0.12, b"uncertain": 0.44}
POINTS: dict[str, OperatingPoint] = {
    "screening": OperatingPoint(
        name="screening",
        threshold=0.41,
        uncertain=(0.35, 0.47),
        sensitivity=Interval(value=0.91, low=0.8, high=0.97),
        specificity=Interval(value=0.4, low=0.3, high=0.5),
    ),
    "balanced": OperatingPoint(
        name="balanced",
        threshold=0.55,
        uncertain=(0.5, 0.92),
        sensitivity=Interval(value=0.78, low=0.66, high=0.88),
        specificity=Interval(value=0.72, low=0.6, high=0.81),
    ),
}


class Stub:
    """`key` is what callers have to send, None asks for none; `keys` collects what they sent with films. A body of
    PROBLEMS is answered with that problem, one of SCORES with that score, "plain" as by a network without a heat map
    that learned from real films, "dicom" as a large DICOM, "slow" late, all others as a film."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.keys: list[str | None] = []
        self.version = "20261122-190722-b05b"
        self.app = Flask(__name__, static_folder=None)
        self.app.add_url_rule("/", view_func=lambda: send_from_directory(PAGE, "index.html"), endpoint="index")
        self.app.add_url_rule("/page/<path:name>", view_func=lambda name: send_from_directory(PAGE, name))
        self.app.add_url_rule("/v1/predictions", view_func=self._predict, methods=["POST"])
        self.app.add_url_rule("/v1/models/<network>/card", view_func=self._card, endpoint="card")
        self.app.after_request(_protect)

    def _predict(self) -> Response:
        self.keys.append(request.headers.get("Authorization"))
        data = request.get_data()
        if self._refused():
            return _problem(401, "unauthorized", "send an API key as 'Authorization: Bearer KEY'")
        if data in PROBLEMS:
            return _problem(*PROBLEMS[data])
        if data == b"slow":
            time.sleep(0.4)
        point = POINTS[request.args["operating_point"]]
        found = answer(SCORES.get(data, 0.9), point, self.version, plain=data == b"plain", large=data == b"dicom")
        if "view" not in request.args:
            found = found.model_copy(update={"view": None, "heatmap": None})
        return Response(found.model_dump_json(), mimetype="application/json")

    def _card(self, network: str) -> Response:
        if self._refused():
            return _problem(401, "unauthorized", "send an API key as 'Authorization: Bearer KEY'")
        return Response(card(network, self.version).model_dump_json(), mimetype="application/json")

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


def answer(
    score: float, point: OperatingPoint, version: str, *, plain: bool = False, large: bool = False
) -> PredictionAnswer:
    """A `large` film is four times as wide and high as what it was decoded to."""
    height, width = FILM.pixels.shape
    times = 4 if large else 1
    x, y, box_width, box_height = cv2.boundingRect(FILM.parenchyma)
    contours, _ = cv2.findContours(FILM.parenchyma, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 1.5, closed=True)[:, 0] * times
    probabilities = {"normal": 1 - score, "benign": score * 0.25, "malignant": score * 0.75}
    likely = max(CLASSES, key=lambda label: probabilities[label.value])
    return PredictionAnswer(
        label=likely,
        probabilities=Probabilities(**probabilities),
        decision=DecisionAnswer(
            answer=verdict(score, point.threshold, point.uncertain),
            score=score,
            operating_point=PointInUse(**point.model_dump(exclude={"uncertain"})),
            uncertain_between=point.uncertain,
        ),
        gate=GATE,
        image=ImageFacts(
            width=width * times,
            height=height * times,
            bits=12 if large else 8,
            format="DICOM" if large else "PGM",
            reduction=times,
            spacing_mm=(0.07, 0.07) if large else None,
            laterality="R" if large else None,
            view="MLO" if large else None,
        ),
        breast_box=Box(x=x * times, y=y * times, width=box_width * times, height=box_height * times),
        outline=tuple((x, y) for x, y in outline.tolist()),
        heatmap=None if plain else HeatMap(label=likely, png=_png(_heat(FILM))),
        view=View(png=_png(FILM.pixels)),
        model=ModelInUse(
            network="resnet50",
            version=version,
            file="model.onnx",
            sha256=sha256(version.encode()).hexdigest(),
            dataset="mias" if plain else "synthetic",
            synthetic=not plain,
        ),
        seconds=Seconds(queue=0.0, decode=0.0102, segment=0.0231, network=0.0504, explain=0.0021, total=0.0913),
        request_id="5f0c6e1f3b7a4a0e9d2c8b1a7e6d5c4b",
        notice="For research only; not a medical device.",
    )


def card(network: str, version: str) -> ModelCard:
    plain = model_card(network, version)
    figures = {
        "accuracy": Interval(value=0.6, low=0.48, high=0.72),
        "macro_auc": Interval(value=0.753, low=0.68, high=0.84),
        "macro_f1": Interval(value=0.563, low=None, high=None),
        "n_films": 80,
        "n_patients": 40,
    }
    metrics = plain.metrics.model_copy(update=figures)
    return plain.model_copy(update={"metrics": metrics, "operating_points": tuple(POINTS.values())})


def _heat(film: SyntheticFilm) -> npt.NDArray[np.uint8]:
    lesion = next(lesion for lesion in film.lesions if lesion.x is not None)
    y, x = np.mgrid[0:256, 0:256].astype(np.float32) * 4
    heat = np.exp(-((x - lesion.x) ** 2 + (y - lesion.y) ** 2) / 2 / 110**2)
    heat[cv2.resize(film.breast, (256, 256), interpolation=cv2.INTER_NEAREST) == 0] = 0
    grey = np.rint(heat * 255).astype(np.uint8)
    return np.dstack([cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), grey])


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    return b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()


def _problem(status: int, title: str, detail: str, gate: GateAnswer | None = None) -> Response:
    problem = Problem(title=title, status=status, detail=detail, request_id="0f3e5c7a", gate=gate)
    response = Response(problem.model_dump_json(), status, mimetype="application/problem+json")
    if status == 503:
        response.headers["Retry-After"] = "2"
    return response


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


if __name__ == "__main__":
    Stub().app.run("127.0.0.1", 8099)
