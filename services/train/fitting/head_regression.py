"""A head that is fitted at once: a logistic regression on the places of frozen feature maps, told by lesions' circles
what lies there.

Where nothing else of a network learns, its head is a convex problem with one best answer. Steps of AdamW over some
hundred films run past it, and validation films then have to say in which epoch.
"""

import time
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from services.train.data.batches import class_weights
from services.train.data.examples import Examples
from services.train.data.lesion_targets import Inside, Places
from services.train.fitting.fit import FitContext, Fitted, predict
from services.train.fitting.scores import log_loss, macro_auc
from shared.domain.arrays import Float32Array
from shared.domain.records import CLASSES, Label
from shared.errors import InputError
from shared.modelling.evaluation import EpochRecord
from shared.modelling.networks import MammogramNetwork, head_layers
from shared.modelling.recipes import TrainingRecipe

LESION, REST, GROUND = 24, 40, 6
"""Places that one film gives at most: in circles, elsewhere in its breast, and beyond it, that these count for nothing
where the head judges all places alike."""

_NORMAL = CLASSES.index(Label.NORMAL)


class TooFewCircles(InputError):
    """A class has no place to learn from."""

    code = "too-few-circles"


def balanced_regression(strength: float) -> LogisticRegression:
    """Not fitted yet; classes weigh the same. A smaller `strength` holds it back more."""
    return LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)


def fit_head(
    learner: MammogramNetwork,
    recipe: TrainingRecipe,
    train: Examples,
    validation: Examples,
    inside: Inside,
    context: FitContext,
) -> Fitted:
    """Fit what is left behind frozen stages: a batch norm without weights, and the head. It has one epoch.

    `inside` (N x h x w) says which places of the training films lie within the breast; `train.places` is there. Classes
    weigh the same, as for a network that learns in steps. The same seed gives the same head.

    Raises TooFewCircles.
    """
    began, device = time.perf_counter(), context.device
    learner = learner.to(device).eval()
    places, told = _drawn(train, inside, np.random.default_rng(context.seed))
    for layer in learner.trunk.modules():
        if isinstance(layer, nn.BatchNorm2d):
            _set(layer.running_mean, places.mean(axis=0))
            _set(layer.running_var, places.var(axis=0))
    model = balanced_regression(recipe.regression).fit(_evened(learner, places, device), told)
    head = head_layers(learner)
    _set(head.weight, model.coef_)
    _set(head.bias, model.intercept_)
    seconds = time.perf_counter() - began
    on_validation = predict(learner, validation.inputs, recipe.batch_size, device)
    record = EpochRecord(
        epoch=1,
        train_loss=_loss(learner, train, recipe.batch_size, device),
        validation_loss=log_loss(on_validation, validation.labels),
        validation_auc=macro_auc(validation.labels, on_validation),
        learning_rate=0.0,
        images_per_second=len(train.labels) / seconds,
    )
    context.on_epoch(record)
    return Fitted(learner, (record,), 1, record.validation_auc)


def _drawn(train: Examples, inside: Inside, rng: np.random.Generator) -> tuple[Float32Array, npt.NDArray[np.int64]]:
    """Places of all films (float32 n x C) and their classes: a few of each film, or large lesions would have most."""
    found, told = [], []
    for film, breast in enumerate(inside):
        (maps,), (known,) = train.batch(np.array([film])), cast("Places", train.places_of(np.array([film])))
        normal = known == _NORMAL
        for kind, most in ((known > _NORMAL, LESION), (normal & breast, REST), (normal & ~breast, GROUND)):
            places = np.argwhere(kind)
            rows, columns = places[rng.permutation(len(places))[:most]].T
            found.append(maps[:, rows, columns].T.astype(np.float32))
            told.append(known[rows, columns].astype(np.int64))
    classes = np.concatenate(told)
    if missing := [label.value for index, label in enumerate(CLASSES) if index not in classes]:
        raise TooFewCircles(
            f"no circle of the training films is {' or '.join(missing)}; choose another profile, or use "
            "films with lesion positions"
        )
    return np.concatenate(found), classes


def _loss(learner: MammogramNetwork, train: Examples, batch_size: int, device: torch.device) -> float:
    """Of all training films; never all of their maps in memory."""
    films = np.arange(len(train.labels))
    batches = (train.batch(films[first : first + batch_size]) for first in range(0, len(films), batch_size))
    probabilities = np.concatenate([predict(learner, batch, batch_size, device) for batch in batches])
    return log_loss(probabilities, train.labels, class_weights(train.labels))


@torch.inference_mode()
def _evened(learner: MammogramNetwork, places: Float32Array, device: torch.device) -> Float32Array:
    """Places (n x C) as the head sees them."""
    return np.asarray(learner.trunk(torch.from_numpy(places)[:, :, None, None].to(device))[:, :, 0, 0].cpu().numpy())


@torch.no_grad()
def _set(tensor: Tensor | None, values: npt.NDArray[np.floating]) -> None:
    cast("Tensor", tensor).copy_(torch.from_numpy(np.asarray(values, np.float32)))
