"""Answers about generated films, built from the service's own types, so that they can't drift from what it says."""

from base64 import b64encode
from hashlib import sha256
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.api.films import ApplicabilityAnswer, FilmAbout, FilmSide, FilmView, Laterality
from shared.api.predictions import (
    Box,
    DecisionAnswer,
    FilmImage,
    GateAnswer,
    HeatMap,
    ImageFacts,
    ModelInUse,
    PointInUse,
    PredictionAnswer,
    Probabilities,
    Seconds,
)
from shared.datasets.phantom import SyntheticFilm, render
from shared.domain.records import CLASSES, Label
from shared.modelling.bootstrap import Interval
from shared.modelling.calibration import OperatingPoint, verdict
from shared.modelling.card import ModelCard
from tests.support.builders import model_card

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


SECONDS = Seconds(queue=0.0, decode=0.0102, segment=0.0231, network=0.0504, explain=0.0021, total=0.0913)
APPLIES = ApplicabilityAnswer(applies=True, reasons=(), misfits=(), unknown=())
APPLIES_NOT = ApplicabilityAnswer(
    applies=False,
    reasons=("the model was not trained on such films: it was trained on film scans only; this is a digital film",),
    misfits=("acquisition",),
    unknown=(),
)
Pixels: TypeAlias = npt.NDArray[np.uint8]


def film_file() -> bytes:
    """The film as PGM, which no browser can show."""
    return cv2.imencode(".pgm", FILM.pixels)[1].tobytes()


def answer(
    score: float, point: OperatingPoint, version: str, *, plain: bool = False, large: bool = False
) -> PredictionAnswer:
    """A `large` film is four times as wide and high as what it was decoded to."""
    times = 4 if large else 1
    height, width = FILM.pixels.shape
    judged = judgement(score, point)
    facts = {"width": width * times, "height": height * times, "reduction": times}
    if large:
        facts |= {"bits": 12, "format": "DICOM", "spacing_mm": (0.07, 0.07), "laterality": "R", "view": "MLO"}
    return PredictionAnswer(
        **judged,
        gate=GATE,
        image=ImageFacts(**{"bits": 8, "format": "PGM", **facts}),
        about=about("R", "MLO", "file" if large else "shape"),
        applicability=APPLIES,
        **drawing(FILM.parenchyma, times),
        heatmap=None if plain else HeatMap(label=judged["label"], png=png_of(heat_of(FILM))),
        view=FilmImage(png=png_of(FILM.pixels)),
        seconds=SECONDS,
        **signature(version, synthetic=not plain),
    )


def judgement(score: float, point: OperatingPoint) -> dict[str, Any]:
    probabilities = {"normal": 1 - score, "benign": score * 0.25, "malignant": score * 0.75}
    return {
        "label": max(CLASSES, key=lambda label: probabilities[label.value]),
        "probabilities": Probabilities(**probabilities),
        "decision": DecisionAnswer(
            answer=verdict(score, point.threshold, point.uncertain),
            score=score,
            operating_point=PointInUse(**point.model_dump(exclude={"uncertain"})),
            uncertain_between=point.uncertain,
        ),
    }


def about(side: Laterality, view: str | None, source: Any) -> FilmAbout:
    score = 0.93 if source == "shape" else None
    return FilmAbout(
        view=FilmView(name=view, source=view and source, score=score, modifiers=view and ()),
        laterality=FilmSide(name=side, source=source),
        chest_wall="right" if side == "R" else "left",
        acquisition=None,
        vendor=None,
        implant=None,
        windows=(),
        disagreements=(),
        notes=(),
    )


def drawing(parenchyma: Pixels, times: int) -> dict[str, Any]:
    """Box and outline, on a film that is `times` as wide and high as its pixels."""
    x, y, width, height = cv2.boundingRect(parenchyma)
    contours, _ = cv2.findContours(parenchyma, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 1.5, closed=True)[:, 0] * times
    return {
        "breast_box": Box(x=x * times, y=y * times, width=width * times, height=height * times),
        "outline": tuple((x, y) for x, y in outline.tolist()),
    }


def signature(version: str, *, synthetic: bool) -> dict[str, Any]:
    return {
        "model": ModelInUse(
            engine="onnx",
            network="resnet50",
            version=version,
            file="model.onnx",
            sha256=sha256(version.encode()).hexdigest(),
            dataset="synthetic" if synthetic else "mias",
            synthetic=synthetic,
        ),
        "request_id": "5f0c6e1f3b7a4a0e9d2c8b1a7e6d5c4b",
        "notice": "For research only; not a medical device.",
    }


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


def heat_of(film: SyntheticFilm) -> npt.NDArray[np.uint8]:
    lesion = next(lesion for lesion in film.lesions if lesion.x is not None)
    y, x = np.mgrid[0:256, 0:256].astype(np.float32) * 4
    heat = np.exp(-((x - lesion.x) ** 2 + (y - lesion.y) ** 2) / 2 / 110**2)
    heat[cv2.resize(film.breast, (256, 256), interpolation=cv2.INTER_NEAREST) == 0] = 0
    grey = np.rint(heat * 255).astype(np.uint8)
    return np.dstack([cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), grey])


def png_of(pixels: npt.NDArray[np.uint8]) -> str:
    return b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()
