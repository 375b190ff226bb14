"""Targets at each place of a network's feature map, from the outlines of the lesions of a data set.

Used in training only: with them a network learns from hundreds of places a film instead of one label.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from shared.domain.arrays import BoolArray
from shared.domain.lesions import Lesion
from shared.domain.records import CLASSES, Label

UNKNOWN = -1
"""Label of a place whose class is unknown: at the edge of a lesion, or in a film whose lesion was not localised."""

COVERED = 0.5  # a place belongs to a lesion if this part of its area lies in the outline, or if it is covered most
_PIXELS_PER_PLACE = 8  # resolution at which lesions are drawn
_SUBPIXELS = 16  # precision of OpenCV's coordinates

PlaceLabels = npt.NDArray[np.int8]
PlaceMask = BoolArray


def place_labels(lesions: Sequence[Lesion], label: Label, square: tuple[int, int, int], edge: int) -> PlaceLabels:
    """Return the class index at each place of a feature map (int8, edge x edge), or UNKNOWN.

    Args:
        lesions: in pixels of the oriented film.
        label: the film's label. All places of an abnormal film without outlines are UNKNOWN.
        square: left, top and edge of the network's field of view, in the same pixels (`preprocess.input_square`).
        edge: of the feature map.
    """
    left, top, length = square
    localised = [lesion for lesion in lesions if lesion.polygon]
    if len(localised) < len(lesions) or (label is not Label.NORMAL and not localised):
        return np.full((edge, edge), UNKNOWN, np.int8)
    labels = np.full((edge, edge), CLASSES.index(Label.NORMAL), np.int8)
    scale = edge * _PIXELS_PER_PLACE / length
    for lesion in sorted(localised, key=lambda lesion: CLASSES.index(lesion.label)):
        drawing = np.zeros((edge * _PIXELS_PER_PLACE, edge * _PIXELS_PER_PLACE), np.uint8)
        corners = np.rint(((np.array(lesion.polygon) - (left, top)) * scale - 0.5) * _SUBPIXELS).astype(np.int32)
        cv2.fillPoly(drawing, [corners], (255,), shift=_SUBPIXELS.bit_length() - 1)
        cover = cv2.resize(drawing, (edge, edge), interpolation=cv2.INTER_AREA)
        if not cover.any():  # outside the field of view
            continue
        labels[cover > 0] = UNKNOWN
        labels[cover >= min(255 * COVERED, int(cover.max()))] = CLASSES.index(lesion.label)
    return labels


def breast_mask(inputs: npt.NDArray[np.generic], films: npt.NDArray[np.intp], edge: int) -> PlaceMask:
    """Return which places of the feature maps of `films` (n) contain breast, bool n x edge x edge.

    Inputs are those of all films, N x 1 x S x S, in any form in which 0 is the background.
    """
    starts = np.arange(edge) * inputs.shape[-1] // edge
    mask = np.empty((len(films), edge, edge), bool)
    for place, film in enumerate(films):
        mask[place] = np.maximum.reduceat(np.maximum.reduceat(inputs[film, 0], starts), starts, axis=1) > 0
    return mask
