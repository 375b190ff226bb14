"""A logistic regression on places of frozen feature maps: it learns from lesions' circles what lies at a place, and
judges a film by all of its places together, as `PlacesHead` does."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, softmax
from sklearn.pipeline import Pipeline

from services.train.baselines import regression
from services.train.lesions import Places

LESION, REST = 24, 40  # places that one film gives to learn from, at most: in circles, and elsewhere in its breast
STRENGTH = 1e-3

Maps = npt.NDArray[np.float16]
Floats = npt.NDArray[np.float64]


def breast_places(inputs: npt.NDArray[np.float32], edge: int) -> npt.NDArray[np.bool_]:
    """Which places of a feature map (N x edge x edge) lie within the breast; inputs are N x 1 x S x S."""
    part = inputs.shape[-1] // edge
    return np.asarray(inputs[:, 0].reshape(-1, edge, part, edge, part).max(axis=(2, 4)) > 0)


def learned(
    maps: Maps, places: Places, inside: npt.NDArray[np.bool_], train: Sequence[int], rng: np.random.Generator
) -> Pipeline:
    """From the films `train` (numbers); `maps` are N x C x h x w."""
    features, labels = [], []
    for film in train:
        for lesion, most in ((True, LESION), (False, REST)):
            chosen = np.argwhere(inside[film] & ((places[film] > 0) if lesion else (places[film] == 0)))
            chosen = chosen[rng.permutation(len(chosen))[:most]]
            features.append(maps[film][:, chosen[:, 0], chosen[:, 1]].T.astype(np.float32))
            labels.append(places[film][chosen[:, 0], chosen[:, 1]])
    return regression(STRENGTH).fit(np.concatenate(features), np.concatenate(labels))


def judged(model: Pipeline, maps: Maps, inside: npt.NDArray[np.bool_], films: Sequence[int]) -> Floats:
    """Class probabilities of films (n x 3): the odds against normal of all places in the breast, averaged."""
    rows = []
    for film in films:
        logits = model.decision_function(maps[film][:, inside[film]].T.astype(np.float32))
        rows.append(logsumexp(logits - logits[:, :1], axis=0) - np.log(len(logits)))
    return np.asarray(softmax(np.array(rows), axis=1))
