"""From an image file to what is said of it, straight down: decode, segment, prepare, ask the network, explain.

Values only: who may work when, and what is sent to whom, is decided around it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from services.inference.serving.engine import Runner
from services.inference.serving.heatmaps import on_film
from services.inference.serving.known_film import UNSTATED, KnownFilm, Stated, known_film
from shared.domain.arrays import Float32Array, Float64Array
from shared.domain.records import CLASSES, Label
from shared.errors import InputError
from shared.imaging.formats.decode import decode
from shared.imaging.image import Image
from shared.imaging.preprocess import Prepared, Preprocessing, prepare_image
from shared.imaging.segmentation.gate import Gate
from shared.imaging.segmentation.segment import Segmentation
from shared.modelling.activation_map import activation_map
from shared.modelling.applicability import Applicability, assess
from shared.modelling.calibration import OperatingPoint, Verdict, abnormal_score, calibrate, softmax, verdict
from shared.modelling.card import ModelCard

Explain: TypeAlias = Callable[[Float64Array], Label]


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A version that was loaded and passed its golden inputs. `file` is the one that its engine runs; `head` (float32
    3 x C) is None where the network can't be explained by an activation map."""

    card: ModelCard
    file: str
    engine: Runner
    preprocessing: Preprocessing
    head: Float32Array | None


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a film. `probabilities` (float64, 3) are calibrated; `heat` (float32, see
    `heatmaps.on_film`) is the evidence for the class `explained`, where it was asked for; `seconds` holds the time of
    each phase."""

    probabilities: Float64Array
    image: Image
    segmentation: Segmentation
    heat: Float32Array | None
    seconds: dict[str, float]
    explained: Label | None = None
    stated: Stated = UNSTATED

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
        """How abnormal: 1 - P(normal)."""
        return score_of(self.probabilities)


@dataclass(frozen=True)
class Decision:
    """What follows from a score at an operating point: abnormal, normal, or uncertain, when a reader has to look."""

    answer: Verdict
    score: float
    point: OperatingPoint


def predict(
    model: ServedModel, data: bytes, *, alone: bool = False, explain: Explain | None = None, stated: Stated = UNSTATED
) -> Prediction:
    """Predict a film.

    Args:
        alone: no other request is at work.
        explain: chooses the class that is explained, by the film's probabilities (3).
        stated: what the sender says of the film.

    Raises:
        ImageError: the file is no mammogram that can be worked on.
    """
    clock, film = _Clock(), _Film()

    def prepare() -> Float32Array:
        clock.lap("queue")
        film.image = decode(data, model.preprocessing.least_edge)
        clock.lap("decode")
        film.prepared = prepare_image(film.image, model.preprocessing)
        clock.lap("segment")
        return film.prepared.input[None]

    answer = model.engine.run_prepared(prepare, alone=alone)
    segmentation = film.prepared.segmentation
    probabilities = calibrate(softmax(answer.logits), model.card.temperature)[0]
    clock.lap("network", answer.waited_s)
    heat, explained = None, None
    if explain is not None and model.head is not None:
        explained = explain(probabilities)
        heat = activation_map(answer.features[0], model.head, CLASSES.index(explained))
        heat = on_film(heat, segmentation)
        clock.lap("explain")
    return Prediction(probabilities, film.image, segmentation, heat, clock.seconds, explained, stated)


def class_of_decision(point: OperatingPoint, probabilities: Float64Array) -> Label:
    """The class whose evidence explains the decision at an operating point, from probabilities (3).

    Of an abnormal film it is the likelier one of benign and malignant, else normal.
    """
    if decide(point, score_of(probabilities)).answer != "abnormal":
        return Label.NORMAL
    return max(
        (label for label in CLASSES if label is not Label.NORMAL), key=lambda at: probabilities[CLASSES.index(at)]
    )


def explanation(point: OperatingPoint, asked: Label | None = None) -> Explain:
    """Chooses the class whose evidence is shown: `asked`, or that of the decision at an operating point."""
    return lambda probabilities: asked or class_of_decision(point, probabilities)


def applicability(card: ModelCard, known: KnownFilm, bits: int) -> Applicability:
    """Whether the model was trained on films such as this one."""
    of_file = known.file
    return assess(card.trained_on, view=known.view, acquisition=of_file.acquisition, vendor=of_file.vendor, bits=bits)


def score_of(probabilities: Float64Array) -> float:
    """How abnormal a film with these probabilities (3) is: 1 - P(normal)."""
    return float(abnormal_score(probabilities[None])[0])


def decide(point: OperatingPoint, score: float) -> Decision:
    return Decision(verdict(score, point.threshold, point.uncertain), score, point)


def operating_point(card: ModelCard, name: str, points: Sequence[OperatingPoint] | None = None) -> OperatingPoint:
    """The one of that name, for films by themselves or among `points` of the card. Raises InputError: there is none."""
    for point in card.operating_points if points is None else points:
        if point.name == name:
            return point
    known = ", ".join(point.name for point in card.operating_points)
    raise InputError(f"{card.network} {card.version} has no operating point '{name}'; choose one of {known}")


class _Film:
    """What is known of a film once it has been prepared."""

    image: Image
    prepared: Prepared


class _Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str, queued_s: float = 0.0) -> None:
        """Ends a phase, of which `queued_s` were spent waiting."""
        now = time.perf_counter()
        self._add(phase, now - self._last - queued_s)
        self._add("queue", queued_s)
        self._last = now

    def _add(self, phase: str, seconds: float) -> None:
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds
