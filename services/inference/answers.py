"""What is said of films, in the words of the native API; the same over HTTP and in the results of a batch."""

from base64 import b64encode
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from services.inference.explain import DRAWN
from services.inference.predictor import (
    Prediction,
    ServedModel,
    beside_each_other,
    decide,
    operating_point,
    score_of,
)
from shared.api.predictions import (
    Box,
    DecisionAnswer,
    FilmAnswer,
    Finding,
    GateAnswer,
    HeatMap,
    ImageFacts,
    Judgement,
    MapForm,
    ModelInUse,
    PatientAnswer,
    PointInUse,
    Probabilities,
    Seconds,
    View,
)
from shared.datasets.manifest import CLASSES
from shared.imaging.decode import encode_png
from shared.imaging.image import to_8bit
from shared.modelling.calibration import OperatingPoint
from shared.modelling.card import ModelCard

NOTICE = "For research only; not a medical device."
_VIEW_EDGE = 2048


def notice(card: ModelCard) -> str:
    return f"{NOTICE} Trained on synthetic films." if card.synthetic else NOTICE


def model_in_use(model: ServedModel) -> ModelInUse:
    card = model.card
    return ModelInUse(
        network=card.network,
        version=card.version,
        file=model.file,
        sha256=card.files[model.file],
        dataset=card.dataset,
        synthetic=card.synthetic,
    )


def probabilities_of(row: npt.NDArray[np.float64]) -> Probabilities:
    values = row.tolist()
    return Probabilities(**{label.value: round(value, 6) for label, value in zip(CLASSES, values, strict=True)})


def finding(found: Prediction, point: OperatingPoint, total_s: float) -> Finding:
    """What is small of the answer. `total_s` is the time since work on the film began, seconds."""
    return Finding(**_finding(found, point, total_s))


def film_answer(
    found: Prediction, point: OperatingPoint, total_s: float, *, form: MapForm = "overlay", view: bool = False
) -> FilmAnswer:
    """The finding with what draws it: the outline, and the pictures that were asked for."""
    heat = found.heat
    return FilmAnswer(
        **_finding(found, point, total_s),
        outline=_outline(found),
        heatmap=None if heat is None else HeatMap(label=found.label, form=form, png=_base64(DRAWN[form](heat))),
        view=View(png=_base64(_view(found))) if view else None,
    )


def patient_answer(found: list[Prediction], films: list[FilmAnswer]) -> PatientAnswer:
    worst = max(range(len(films)), key=lambda index: found[index].score)
    film = films[worst]
    return PatientAnswer(film=worst, label=film.label, probabilities=film.probabilities, decision=film.decision)


def side_by_side(card: ModelCard, found: list[Prediction], films: list[FilmAnswer]) -> tuple[Judgement, ...] | None:
    """The films beside each other, at the operating point by which they were judged; None where they can't be."""
    rows = beside_each_other(card, found)
    if rows is None:
        return None
    point = operating_point(card, films[0].decision.operating_point.name, beside=True)
    return tuple(Judgement(**_judged(row, point)) for row in rows)


def _finding(found: Prediction, point: OperatingPoint, total_s: float) -> dict[str, Any]:
    image = found.image
    width, height = image.full_size
    seconds = {phase: round(value, 5) for phase, value in {**found.seconds, "total": total_s}.items()}
    return {
        **_judged(found.probabilities, point),
        "gate": GateAnswer(passed=True, score=round(found.gate.score, 4), reason=found.gate.reason),
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
        "breast_box": _box(found),
        "seconds": Seconds(**seconds),
    }


def _judged(row: npt.NDArray[np.float64], point: OperatingPoint) -> dict[str, Any]:
    """What follows from probabilities (3) at an operating point."""
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


def _box(found: Prediction) -> Box:
    x, y, width, height = found.segmentation.box
    if found.segmentation.flipped:
        x = found.image.pixels.shape[1] - x - width
    (left, top), (right, bottom) = _as_sent(found, np.array([[x, y], [x + width, y + height]], np.float64)).tolist()
    return Box(x=left, y=top, width=right - left, height=bottom - top)


def _outline(found: Prediction) -> tuple[tuple[int, int], ...]:
    """The parenchyma's outline as a polygon in the film's pixels, within two pixels of it."""
    segmented = found.segmentation
    x, y, width, height = segmented.drawn_box
    box = segmented.drawn[y : y + height, x : x + width]
    contours, _ = cv2.findContours(box, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x, y))
    times = segmented.times
    polygon = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 1.5 / times, closed=True)[:, 0]
    polygon = polygon.astype(np.float64) * times + (times - 1) / 2  # the middle of a pixel stays where it is
    if segmented.flipped:
        polygon[:, 0] = segmented.pixels.shape[1] - 1 - polygon[:, 0]
    return tuple((x, y) for x, y in _as_sent(found, polygon).tolist())


def _as_sent(found: Prediction, points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Points (n x 2: x, y) of the decoded pixels, in pixels of the frame that was sent."""
    height, width = found.image.pixels.shape
    return np.rint(points * (np.array(found.image.full_size) / (width, height))).astype(np.int64)


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
