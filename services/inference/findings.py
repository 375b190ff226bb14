"""What is said of films, in the words of the native API; the same over HTTP and in the results of a batch."""

from base64 import b64encode
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from services.inference.serving.heatmaps import DRAWN
from services.inference.serving.predictor import Prediction, ServedModel, applicability, decide, score_of
from shared.api.films import ApplicabilityAnswer, FilmAbout, FilmSide, FilmView, FilmWindow
from shared.api.predictions import (
    Box,
    DecisionAnswer,
    FilmAnswer,
    FilmImage,
    Finding,
    GateAnswer,
    HeatMap,
    HeatmapStyle,
    ImageFacts,
    ModelInUse,
    PointInUse,
    Probabilities,
    Seconds,
)
from shared.domain.arrays import Float64Array
from shared.domain.records import CLASSES
from shared.errors import MammoError, NotAMammogram
from shared.imaging.formats.decode import encode_png
from shared.imaging.image import Image, to_8bit, unsigned
from shared.modelling.calibration import OperatingPoint
from shared.modelling.card import ModelCard

NOTICE = "For research only; not a medical device."
_VIEW_EDGE = 2048
ViewKind: TypeAlias = Literal["1", "deep"]


def notice(card: ModelCard) -> str:
    return f"{NOTICE} Trained on synthetic films." if card.synthetic else NOTICE


def model_in_use(model: ServedModel) -> ModelInUse:
    card = model.card
    return ModelInUse(
        network=card.network,
        version=card.version,
        file=model.file,
        sha256=card.files[model.file],
        engine=model.engine_name,
        dataset=card.dataset,
        synthetic=card.synthetic,
    )


def signature(model: ServedModel, request_id: str) -> dict[str, Any]:
    """Return the fields of `Signature`, the end of every native response."""
    return {"request_id": request_id, "model": model_in_use(model), "notice": notice(model.card)}


def gate_of(error: MammoError) -> GateAnswer | None:
    """Return the gate's result on an image that it rejected; None for other errors."""
    if not isinstance(error, NotAMammogram):
        return None
    return GateAnswer(passed=False, score=round(error.gate_score, 4), reason=error.reason)


def probabilities_of(row: Float64Array) -> Probabilities:
    values = row.tolist()
    return Probabilities(**{label.value: round(value, 6) for label, value in zip(CLASSES, values, strict=True)})


def finding(card: ModelCard, prediction: Prediction, point: OperatingPoint, total_s: float) -> Finding:
    """Return the finding without images; `total_s` is the total duration in seconds."""
    return Finding(**_finding(card, prediction, point, total_s))


def film_answer(
    card: ModelCard,
    prediction: Prediction,
    point: OperatingPoint,
    total_s: float,
    *,
    heatmap_style: HeatmapStyle = "overlay",
    view: ViewKind | None = None,
) -> FilmAnswer:
    """Return the finding with its outline and the requested images."""
    heat, label = prediction.heat, prediction.explained
    return FilmAnswer(
        **_finding(card, prediction, point, total_s),
        outline=_outline(prediction),
        heatmap=None
        if heat is None
        else HeatMap(label=label, form=heatmap_style, png=_base64(DRAWN[heatmap_style](heat))),
        view=_view(prediction.image, view) if view else None,
    )


def _finding(card: ModelCard, prediction: Prediction, point: OperatingPoint, total_s: float) -> dict[str, Any]:
    image = prediction.image
    width, height = image.full_size
    seconds = {phase: round(value, 5) for phase, value in {**prediction.seconds, "total": total_s}.items()}
    return {
        **judged(prediction.probabilities, point),
        "gate": GateAnswer(passed=True, score=round(prediction.gate.score, 4), reason=prediction.gate.reason),
        "image": ImageFacts(
            width=width,
            height=height,
            bits=image.bits,
            format=image.format,
            reduction=image.reduction,
            spacing_mm=image.spacing,
            laterality=image.laterality,
            view=image.view,
        ),
        "about": _about(prediction),
        "applicability": applicability_answer(card, prediction),
        "breast_box": _box(prediction),
        "seconds": Seconds(**seconds),
    }


def _about(prediction: Prediction) -> FilmAbout:
    known, of_file = prediction.known, prediction.known.file
    return FilmAbout(
        view=FilmView(name=known.view, source=known.view_source, score=known.view_score, modifiers=known.modifiers),
        laterality=FilmSide(name=known.side, source=known.side_source),
        chest_wall="right" if prediction.segmentation.flipped else "left",
        acquisition=of_file.acquisition,
        vendor=of_file.vendor,
        implant=of_file.implant,
        windows=tuple(
            FilmWindow(name=window.name, centre=window.centre, width=window.width) for window in of_file.windows
        ),
        disagreements=known.disagreements,
        notes=of_file.notes,
    )


def applicability_answer(card: ModelCard, prediction: Prediction) -> ApplicabilityAnswer:
    """Compare a film's kind with the training films; unknown if the card has no data."""
    assessed = applicability(card, prediction.known, prediction.image.bits)
    return ApplicabilityAnswer(
        applies=None if card.trained_on is None else assessed.applies,
        reasons=assessed.reasons,
        misfits=assessed.misfits,
        unknown=assessed.unknown,
    )


def judged(row: Float64Array, point: OperatingPoint) -> dict[str, Any]:
    """Return class, probabilities and decision at an operating point."""
    decision = decide(point, score_of(row))
    used = PointInUse(
        name=point.name, threshold=point.threshold, sensitivity=point.sensitivity, specificity=point.specificity
    )
    return {
        "label": CLASSES[int(row.argmax())],
        "probabilities": probabilities_of(row),
        "decision": DecisionAnswer(
            answer=decision.answer,
            score=round(decision.score, 6),
            operating_point=used,
            uncertain_between=point.uncertain,
        ),
    }


def _box(prediction: Prediction) -> Box:
    x, y, width, height = prediction.segmentation.box
    if prediction.segmentation.flipped:
        x = prediction.image.pixels.shape[1] - x - width
    (left, top), (right, bottom) = _as_sent(
        prediction, np.array([[x, y], [x + width, y + height]], np.float64)
    ).tolist()
    return Box(x=left, y=top, width=right - left, height=bottom - top)


def _outline(prediction: Prediction) -> tuple[tuple[int, int], ...]:
    """Return the parenchyma's outline as a polygon in film pixels, within two pixels."""
    segmented = prediction.segmentation
    x, y, width, height = segmented.drawn_box
    box = segmented.drawn[y : y + height, x : x + width]
    contours, _ = cv2.findContours(box, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x, y))
    times = segmented.times
    polygon = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 1.5 / times, closed=True)[:, 0]
    polygon = polygon.astype(np.float64) * times + (times - 1) / 2  # the middle of a pixel stays where it is
    if segmented.flipped:
        polygon[:, 0] = segmented.pixels.shape[1] - 1 - polygon[:, 0]
    return tuple((x, y) for x, y in _as_sent(prediction, polygon).tolist())


def _as_sent(prediction: Prediction, points: Float64Array) -> npt.NDArray[np.int64]:
    """Points (n x 2: x, y) of the decoded pixels, in pixels of the frame that was sent."""
    height, width = prediction.image.pixels.shape
    return np.rint(points * (np.array(prediction.image.full_size) / (width, height))).astype(np.int64)


def _view(image: Image, kind: ViewKind) -> FilmImage:
    """Return the film as a PNG, longer edge at most 2048 pixels; `deep`: all bits."""
    deep = kind == "deep" and image.bits > 8
    pixels = image.pixels if deep else to_8bit(image)
    scale = _VIEW_EDGE / max(pixels.shape)
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = unsigned(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    if not deep:
        return FilmImage(png=_base64(encode_png(pixels)))
    low, high = (pixels & 255).astype(np.uint8), (pixels >> 8).astype(np.uint8)
    packed = np.dstack([np.zeros_like(low), low, high])  # OpenCV's order: blue, green, red
    return FilmImage(png=_base64(encode_png(packed)), bits=image.bits, packing="red-green")


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
