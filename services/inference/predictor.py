"""From an image file to what is said of it, straight down: decode, segment, prepare, ask the network, explain.

Values only: who may work when, and what is sent to whom, is decided around it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.inference.engine import Runner
from services.inference.explain import on_film
from services.inference.together import Floats
from shared.datasets.manifest import CLASSES, Label
from shared.errors import InputError
from shared.imaging.decode import decode
from shared.imaging.gate import Gate
from shared.imaging.image import Image
from shared.imaging.preprocess import Prepared, Preprocessing, prepare_image
from shared.imaging.segment import Segmentation
from shared.modelling.activation import activation_map
from shared.modelling.calibration import OperatingPoint, Verdict, abnormal_score, calibrate, softmax, verdict
from shared.modelling.card import ModelCard
from shared.modelling.comparison import compared


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A version that was loaded and passed its golden inputs. `file` is the one that its engine runs; `head` (float32
    3 x C) is None where the network can't be explained by an activation map."""

    card: ModelCard
    file: str
    engine: Runner
    preprocessing: Preprocessing
    head: Floats | None


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a film. `probabilities` (float64, 3) are calibrated; `heat` (float32, see `explain.on_film`)
    is there when it was asked for; `seconds` holds the time of each phase."""

    probabilities: npt.NDArray[np.float64]
    image: Image
    segmentation: Segmentation
    heat: Floats | None
    seconds: dict[str, float]

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


def predict(model: ServedModel, data: bytes, *, alone: bool = False, explain: bool = False) -> Prediction:
    """Raises ImageError when the file is no mammogram that can be worked on."""
    clock, film = _Clock(), _Film()

    def prepare() -> Floats:
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
    heat = None
    if explain and model.head is not None:
        heat = activation_map(answer.features[0], model.head, int(probabilities.argmax()))
        heat = on_film(heat, segmentation)
        clock.lap("explain")
    return Prediction(probabilities, film.image, segmentation, heat, clock.seconds)


def beside_each_other(card: ModelCard, films: Sequence[Prediction]) -> npt.NDArray[np.float64] | None:
    """The probabilities (2 x 3) of the films of a patient's two breasts, each beside the other one.

    None where that is not what they are, as far as chest walls and files tell, or where the version has no figures for
    it.
    """
    if card.comparison is None or len(films) != 2:
        return None
    first, second = films
    left_or_right = first.image.laterality, second.image.laterality
    same_side = first.segmentation.flipped == second.segmentation.flipped or left_or_right in {("L", "L"), ("R", "R")}
    if same_side or first.image.view != second.image.view:
        return None
    rows = np.stack([first.probabilities, second.probabilities])
    return compared(rows, rows[::-1], card.comparison.centre, card.comparison.temperature)


def score_of(probabilities: npt.NDArray[np.float64]) -> float:
    """How abnormal a film with these probabilities (3) is: 1 - P(normal)."""
    return float(abnormal_score(probabilities[None])[0])


def decide(point: OperatingPoint, score: float) -> Decision:
    return Decision(verdict(score, point.threshold, point.uncertain), score, point)


def operating_point(card: ModelCard, name: str, *, beside: bool = False) -> OperatingPoint:
    """The one of that name, for films by themselves or `beside` each other. Raises InputError: the card has none."""
    for point in card.comparison.operating_points if beside and card.comparison else card.operating_points:
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
