"""The held-out films on which a network was surest and wrong, as it saw them, with where its answer came from."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from services.train.data.inputs import load_images
from services.train.evaluation.points import served_predictions
from services.train.fitting.serialise import network_from_bytes
from services.train.jobs import JobResult, read_weights
from shared.domain.arrays import Float32Array
from shared.domain.records import CLASSES, Label
from shared.errors import ObjectNotFound
from shared.imaging.preprocess import Preprocessing
from shared.modelling.activation_map import activation_map
from shared.modelling.network_table import NETWORK_TABLE, Network
from shared.modelling.networks import MammogramNetwork, head_layers
from shared.modelling.predictions import Predictions
from shared.runs.plan import Plan
from shared.store.interface import ObjectStore

COUNT = 12
_EDGE = 224  # of each picture
_HEAT = 0.45


@dataclass(frozen=True)
class Mistake:
    """`png` shows the network's input and, beside it, the same with its class-activation map where it has one."""

    film: str
    truth: Label
    answer: Label
    probability: float
    png: bytes


def mistakes(store: ObjectStore, plan: Plan, network: Network, results: Sequence[JobResult]) -> tuple[Mistake, ...]:
    """The surest mistakes of a network under the patient protocol, the surest first; each film once.

    There are none where the weights of a fold are gone, which they are once its network is published.
    """
    folds = {r.job.fold: r for r in results if (r.job.network, r.job.protocol) == (network, "patient")}
    judged = served_predictions(list(folds.values()))
    worst = surest(judged)
    images = load_images(store, plan, Preprocessing(size=next(iter(folds.values())).input_size))
    inputs = {image.film: images.inputs[n] for n, image in enumerate(images.variants) if image.variant == 0}
    found: dict[int, Mistake] = {}
    for fold in {judged.folds[index] for index in worst}:  # the weights of one at a time: they are large
        try:
            weights = read_weights(store, plan, folds[fold])
        except ObjectNotFound:
            return ()
        explained = network_from_bytes(network, weights) if NETWORK_TABLE[network].explainable else None
        for index in (index for index in worst if judged.folds[index] == fold):
            film, row = judged.films[index], judged.rows[index]
            label = int(row.argmax())
            heat = _heat(explained, inputs[film], label) if explained is not None else None
            shown = picture(inputs[film][0], heat)
            found[index] = Mistake(film, judged.labels[index], CLASSES[label], float(row[label]), shown)
    return tuple(found[index] for index in worst)


def surest(judged: Predictions, count: int = COUNT) -> list[int]:
    """Which predictions are wrong, by falling probability; of a film that was judged several times, the surest."""
    rows = judged.rows
    wrong = np.flatnonzero(rows.argmax(axis=1) != judged.truth)
    ordered = sorted(wrong.tolist(), key=lambda index: (-rows[index].max(), judged.films[index], judged.folds[index]))
    first = {judged.films[index]: index for index in reversed(ordered)}
    return [index for index in ordered if first[judged.films[index]] == index][:count]


def picture(film: Float32Array, heat: Float32Array | None) -> bytes:
    """A PNG of a network's input (float32 S x S, 0..1), and beside it the same under its map (h x w, 0..1)."""
    size = (_EDGE, _EDGE)
    grey = cv2.resize((film * 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    plain = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    sides = [plain]
    if heat is not None:
        levels = (cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR) * 255).astype(np.uint8)
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
        over = cv2.addWeighted(plain, 1 - _HEAT, colours, _HEAT, 0)
        over[grey == 0] = 0
        sides.append(over)
    _, png = cv2.imencode(".png", cv2.hconcat(sides))
    return png.tobytes()


@torch.inference_mode()
def _heat(network: MammogramNetwork, film: Float32Array, label: int) -> Float32Array:
    _, features = network(torch.from_numpy(np.array(film[None])))  # a copy: the film may lie in a mapped file
    return activation_map(features[0].numpy(), head_layers(network).weight.numpy(), label)
