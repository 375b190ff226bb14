"""The most confident errors of a network on held-out films: its inputs and class-activation maps as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from services.train.data.inputs import load_images
from services.train.evaluation.operating_points import pooled_predictions
from services.train.fitting.serialise import network_from_bytes
from services.train.jobs import JobResult, read_weights, results_of
from shared.domain.arrays import Float32Array
from shared.domain.records import CLASSES, Label
from shared.errors import ObjectNotFound
from shared.imaging.preprocess import Preprocessing
from shared.modelling.activation_map import activation_map
from shared.modelling.network_table import NETWORK_TABLE, Network
from shared.modelling.networks import MammogramNetwork, head_layers
from shared.modelling.predictions import FoldPredictions
from shared.runs.plan import Plan
from shared.store.interface import ObjectStore

COUNT = 12
_EDGE = 224  # pixels of each picture
_OPACITY = 0.45  # of the activation map


@dataclass(frozen=True)
class ConfidentError:
    """A wrong prediction; `png` shows the network's input and, if it has one, its class-activation map."""

    film: str
    truth: Label
    prediction: Label
    probability: float
    png: bytes


def confident_errors(
    store: ObjectStore, plan: Plan, network: Network, results: Sequence[JobResult]
) -> tuple[ConfidentError, ...]:
    """Return a network's most confident errors under the published protocol, in falling order; each film once.

    Empty if the weights of a fold were deleted, as they are after publishing.
    """
    folds = {result.job.fold: result for result in results_of(results, network, plan.honest or "patient")}
    predictions = pooled_predictions(list(folds.values()))
    worst = most_confident(predictions)
    images = load_images(store, plan, Preprocessing(size=next(iter(folds.values())).input_size))
    originals = {images.variants[n].film: n for n in images.originals(range(len(images.variants)))}
    errors: dict[int, ConfidentError] = {}
    for fold in {predictions.folds[index] for index in worst}:  # one fold's weights in memory at a time
        try:
            weights = read_weights(store, plan, folds[fold])
        except ObjectNotFound:
            return ()
        explained = network_from_bytes(network, weights) if NETWORK_TABLE[network].explainable else None
        for index in (index for index in worst if predictions.folds[index] == fold):
            film, row = predictions.films[index], predictions.rows[index]
            label = int(row.argmax())
            shown = images.read(np.array([originals[film]]))[0]
            heat_map = _heat_map(explained, shown, label) if explained is not None else None
            png = error_picture(shown[0], heat_map)
            errors[index] = ConfidentError(film, predictions.labels[index], CLASSES[label], float(row[label]), png)
    return tuple(errors[index] for index in worst)


def most_confident(predictions: FoldPredictions, count: int = COUNT) -> list[int]:
    """Return the indices of the wrong predictions with the highest probabilities, in falling order.

    Of several predictions for a film, only the most confident one is returned.
    """
    rows = predictions.rows
    wrong = np.flatnonzero(rows.argmax(axis=1) != predictions.truth)
    films, folds = predictions.films, predictions.folds
    ordered = sorted(wrong.tolist(), key=lambda index: (-rows[index].max(), films[index], folds[index]))
    first = {films[index]: index for index in reversed(ordered)}
    return [index for index in ordered if first[films[index]] == index][:count]


def error_picture(film: Float32Array, heat_map: Float32Array | None) -> bytes:
    """Draw a network's input (float32 S x S, 0..1) and next to it the same under a heat map (h x w, 0..1), as PNG."""
    size = (_EDGE, _EDGE)
    grey = cv2.resize((film * 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    plain = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    panels = [plain]
    if heat_map is not None:
        levels = (cv2.resize(heat_map, size, interpolation=cv2.INTER_LINEAR) * 255).astype(np.uint8)
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
        overlay = cv2.addWeighted(plain, 1 - _OPACITY, colours, _OPACITY, 0)
        overlay[grey == 0] = 0
        panels.append(overlay)
    _, png = cv2.imencode(".png", cv2.hconcat(panels))
    return png.tobytes()


@torch.inference_mode()
def _heat_map(network: MammogramNetwork, film: Float32Array, label: int) -> Float32Array:
    _, features = network(torch.from_numpy(np.array(film[None])))  # a copy: mapped files are read-only
    return activation_map(features[0].numpy(), head_layers(network).weight.numpy(), label)
