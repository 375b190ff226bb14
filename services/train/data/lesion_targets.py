"""What lies at each place of a network's feature map, as far as the outlines of the data set's lesions tell.

Used in training alone: a network that is told where to look learns from hundreds of places a film, not from one label.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from shared.domain.arrays import Float32Array
from shared.domain.lesions import Lesion
from shared.domain.records import CLASSES, Label

UNKNOWN = -1
"""A place of which nobody says what lies there: on the edge of a lesion, or on a film whose lesion has no place."""

COVERED = 0.5  # of a place's area lies in a lesion, or it is the one that is covered most
_FINE = 8  # pixels to a place when lesions are drawn
_PART = 16  # of a pixel, in which OpenCV takes their corners

Places = npt.NDArray[np.int8]
Inside = npt.NDArray[np.bool_]


def places_of(lesions: Sequence[Lesion], label: Label, square: tuple[int, int, int], edge: int) -> Places:
    """The class at each place of a feature map (int8, edge x edge), or UNKNOWN.

    Args:
        lesions: in pixels of the oriented film.
        label: the film's. A film that is not normal, but has no lesion with a place, tells nothing.
        square: left, top and edge of what the network sees, in the same pixels (`preprocess.input_square`).
    """
    left, top, length = square
    placed = [lesion for lesion in lesions if lesion.polygon]
    if len(placed) < len(lesions) or (label is not Label.NORMAL and not placed):
        return np.full((edge, edge), UNKNOWN, np.int8)
    found = np.full((edge, edge), CLASSES.index(Label.NORMAL), np.int8)
    scale = edge * _FINE / length
    for lesion in sorted(placed, key=lambda lesion: CLASSES.index(lesion.label)):
        drawn = np.zeros((edge * _FINE, edge * _FINE), np.uint8)
        corners = np.rint(((np.array(lesion.polygon) - (left, top)) * scale - 0.5) * _PART).astype(np.int32)
        cv2.fillPoly(drawn, [corners], (255,), shift=_PART.bit_length() - 1)
        cover = cv2.resize(drawn, (edge, edge), interpolation=cv2.INTER_AREA)
        if not cover.any():  # outside what the network sees
            continue
        found[cover > 0] = UNKNOWN
        found[cover >= min(255 * COVERED, int(cover.max()))] = CLASSES.index(lesion.label)
    return found


def breast_places(inputs: Float32Array, edge: int) -> Inside:
    """Which places of feature maps (N x edge x edge) see something of the breast; inputs are N x 1 x S x S."""
    starts = np.arange(edge) * inputs.shape[-1] // edge
    return np.stack([np.maximum.reduceat(np.maximum.reduceat(film[0], starts), starts, axis=1) > 0 for film in inputs])


def place_losses(logits: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """For each film (float32 N) the mean cross-entropy of its places of each class, weighted by class and added up.

    Args:
        logits: N x h x w x 3.
        places: int64 N x h x w, a class or UNKNOWN.
        weights: of the classes, float32 3.
    """
    each = cross_entropy(logits.flatten(0, 2), places.clamp(min=0).flatten(), reduction="none").view(places.shape)
    total = torch.zeros(len(places), device=logits.device)
    for index in range(len(CLASSES)):
        of_class = places == index
        count = of_class.sum((1, 2))
        total = total + weights[index] * (each * of_class).sum((1, 2)) / count.clamp(min=1)
    return total
