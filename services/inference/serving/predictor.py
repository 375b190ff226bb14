"""Predict an image file: decode, segment, preprocess, run the network, explain.

Pure: admission and responses are handled by the callers.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from services.inference.serving.heatmaps import on_film
from services.inference.serving.known_film import UNSTATED, KnownFilm, ViewAndSide, known_film
from shared.domain.arrays import Float32Array, Float64Array
from shared.domain.records import CLASSES, Label
from shared.errors import InputError
from shared.imaging.formats.decode import decode
from shared.imaging.image import Image
from shared.imaging.preprocess import Preprocessing, prepare_image
from shared.imaging.segmentation.gate import Gate
from shared.imaging.segmentation.segment import Segmentation
from shared.modelling.activation_map import activation_map
from shared.modelling.applicability import Applicability, assess
from shared.modelling.calibration import OperatingPoint, Verdict, abnormal_score, calibrate, softmax, verdict
from shared.modelling.card import ModelCard
from shared.modelling.engines.interface import Engine
from shared.modelling.engines.names import EngineName

Explain: TypeAlias = Callable[[Float64Array], Label]


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A loaded and verified version.

    Attributes:
        file: file that the engine runs.
        engine_name: library and number format.
        head: last layer, float32 3 x C; None if the network has no activation map.
    """

    card: ModelCard
    file: str
    engine_name: EngineName
    engine: Engine
    preprocessing: Preprocessing
    head: Float32Array | None


@dataclass(frozen=True, eq=False)
class Prediction:
    """Prediction of a film.

    Attributes:
        probabilities: calibrated, float64, 3.
        heat: evidence for the class `explained`, if requested; float32, see `heatmaps.on_film`.
        seconds: duration of each phase.
    """

    probabilities: Float64Array
    image: Image
    segmentation: Segmentation
    heat: Float32Array | None
    seconds: dict[str, float]
    explained: Label | None = None
    stated: ViewAndSide = UNSTATED

    @cached_property
    def known(self) -> KnownFilm:
        """View, side and origin of the film."""
        return known_film(self.image, self.segmentation, self.stated)

    @property
    def gate(self) -> Gate:
        return self.segmentation.gate

    @property
    def label(self) -> Label:
        return CLASSES[int(self.probabilities.argmax())]

    @property
    def score(self) -> float:
        """Return the abnormal score, 1 - P(normal)."""
        return score_of(self.probabilities)


@dataclass(frozen=True)
class Decision:
    """Decision at an operating point: abnormal, normal, or uncertain."""

    answer: Verdict
    score: float
    point: OperatingPoint


def predict(
    model: ServedModel,
    data: bytes,
    *,
    alone: bool = False,
    explain: Explain | None = None,
    stated: ViewAndSide = UNSTATED,
) -> Prediction:
    """Predict a film.

    Args:
        alone: no other request is at work.
        explain: chooses the class that is explained, by the film's probabilities (3).
        stated: what the sender says of the film.

    Raises:
        ImageError: the file is no mammogram that can be worked on.
    """
    clock = _Clock()
    image = decode(data, model.preprocessing.least_edge)
    clock.lap("decode")
    prepared = prepare_image(image, model.preprocessing)
    clock.lap("segment")
    output = model.engine.run(prepared.input[None], alone=alone)
    probabilities = calibrate(softmax(output.logits), model.card.temperature)[0]
    clock.lap("network")
    heat, explained = None, None
    if explain is not None and model.head is not None:
        explained = explain(probabilities)
        heat = activation_map(output.features[0], model.head, CLASSES.index(explained))
        heat = on_film(heat, prepared.segmentation)
        clock.lap("explain")
    return Prediction(probabilities, image, prepared.segmentation, heat, clock.seconds, explained, stated)


def class_of_decision(point: OperatingPoint, probabilities: Float64Array) -> Label:
    """Return the class that explains the decision on probabilities (3).

    For an abnormal film it is the likelier of benign and malignant, else normal.
    """
    if decide(point, score_of(probabilities)).answer != "abnormal":
        return Label.NORMAL
    return max(
        (label for label in CLASSES if label is not Label.NORMAL), key=lambda at: probabilities[CLASSES.index(at)]
    )


def explanation(point: OperatingPoint, asked: Label | None = None) -> Explain:
    """Choose the class to explain: `asked`, or the class of the decision."""
    return lambda probabilities: asked or class_of_decision(point, probabilities)


def applicability(card: ModelCard, known: KnownFilm, bits: int) -> Applicability:
    """Compare a film's kind with the model's training films."""
    of_file = known.file
    return assess(card.trained_on, view=known.view, acquisition=of_file.acquisition, vendor=of_file.vendor, bits=bits)


def score_of(probabilities: Float64Array) -> float:
    """Return the abnormal score of probabilities (3): 1 - P(normal)."""
    return float(abnormal_score(probabilities[None])[0])


def decide(point: OperatingPoint, score: float) -> Decision:
    return Decision(verdict(score, point.threshold, point.uncertain), score, point)


def operating_point(card: ModelCard, name: str, points: Sequence[OperatingPoint] | None = None) -> OperatingPoint:
    """Return an operating point by name, of films or among `points` of the card.

    Raises:
        InputError: there is none of this name.
    """
    for point in card.operating_points if points is None else points:
        if point.name == name:
            return point
    known = ", ".join(point.name for point in card.operating_points)
    raise InputError(f"{card.network} {card.version} has no operating point '{name}'; choose one of {known}")


class _Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """End a phase."""
        now = time.perf_counter()
        self.seconds[phase], self._last = now - self._last, now
