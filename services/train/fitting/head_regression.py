"""A head that is fitted in one step: logistic regression on the places of frozen feature maps.

If only the head of a network is trained, the problem is convex and has one optimum. Steps of AdamW on some hundred
films pass it, and validation films must then choose the epoch.
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
from services.train.data.lesion_targets import PlaceLabels, PlaceMask
from services.train.fitting.fit import FitContext, FitResult
from services.train.fitting.predict import predict
from services.train.fitting.scores import log_loss, macro_auc
from shared.domain.arrays import Float32Array, Int64Array
from shared.domain.records import CLASSES, Label
from shared.errors import InputError
from shared.modelling.evaluation import EpochRecord
from shared.modelling.networks import MammogramNetwork, head_layers
from shared.modelling.recipes import TrainingRecipe

LESION, REST, BACKGROUND = 24, 40, 6
"""Most places sampled from one film: in lesions, in the rest of the breast, and in the background, which the head has
to call normal too, because it treats all places alike."""

_NORMAL = CLASSES.index(Label.NORMAL)


class TooFewCircles(InputError):
    """A class has no localised lesion in the training films."""

    code = "too-few-circles"


def balanced_regression(strength: float) -> LogisticRegression:
    """Create an unfitted regression in which all classes count the same.

    `strength` is C, the inverse of the regularisation.
    """
    return LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)


def fit_head(
    learner: MammogramNetwork,
    recipe: TrainingRecipe,
    train: Examples,
    validation: Examples,
    inside: PlaceMask,
    context: FitContext,
) -> FitResult:
    """Fit the layers behind frozen stages, a batch norm without weights and the head, as one epoch.

    The same seed gives the same head.

    Args:
        learner: the trainable part of a network.
        recipe: with its `regression`.
        train: with place labels.
        validation: for the scores of the epoch.
        inside: which places of the training films contain breast, N x h x w.
        context: device, seed and `on_epoch`.

    Raises:
        TooFewCircles: a class has no place to learn from.
    """
    began, device = time.perf_counter(), context.device
    learner = learner.to(device).eval()
    features, labels = _sample_places(train, inside, np.random.default_rng(context.seed))
    for layer in learner.trunk.modules():
        if isinstance(layer, nn.BatchNorm2d):
            _assign(layer.running_mean, features.mean(axis=0))
            _assign(layer.running_var, features.var(axis=0))
    model = balanced_regression(recipe.regression).fit(_normalised(learner, features, device), labels)
    head = head_layers(learner)
    _assign(head.weight, model.coef_)
    _assign(head.bias, model.intercept_)
    seconds = time.perf_counter() - began
    probabilities = predict(learner, validation, recipe.batch_size, device)
    record = EpochRecord(
        epoch=1,
        train_loss=_train_loss(learner, train, recipe.batch_size, device),
        validation_loss=log_loss(probabilities, validation.labels),
        validation_auc=macro_auc(validation.labels, probabilities),
        learning_rate=0.0,
        images_per_second=len(train.labels) / seconds,
    )
    context.on_epoch(record)
    return FitResult(learner, (record,), 1, record.validation_auc, "float32")


def _sample_places(train: Examples, inside: PlaceMask, rng: np.random.Generator) -> tuple[Float32Array, Int64Array]:
    """Sample places of all films: their features (float32 n x C) and class indices (n).

    The number from each film is limited, because large lesions would otherwise dominate.
    """
    features, labels = [], []
    for film, breast in enumerate(inside):
        index = np.array([film])
        (maps,), (targets,) = train.read(index), cast("PlaceLabels", train.read_place_labels(index))
        normal = targets == _NORMAL
        for region, most in ((targets > _NORMAL, LESION), (normal & breast, REST), (normal & ~breast, BACKGROUND)):
            places = np.argwhere(region)
            rows, columns = places[rng.permutation(len(places))[:most]].T
            features.append(maps[:, rows, columns].T.astype(np.float32))
            labels.append(targets[rows, columns].astype(np.int64))
    classes = np.concatenate(labels)
    if missing := [label.value for index, label in enumerate(CLASSES) if index not in classes]:
        raise TooFewCircles(
            f"no outlined lesion of the training films is {' or '.join(missing)}; choose another profile, or use "
            "films with lesion positions"
        )
    return np.concatenate(features), classes


def _train_loss(learner: MammogramNetwork, train: Examples, batch_size: int, device: torch.device) -> float:
    """Compute the weighted loss over all training films."""
    return log_loss(predict(learner, train, batch_size, device), train.labels, class_weights(train.labels))


@torch.inference_mode()
def _normalised(learner: MammogramNetwork, features: Float32Array, device: torch.device) -> Float32Array:
    """Return the features of places (n x C) after the batch norm, the input of the head."""
    maps = torch.from_numpy(features)[:, :, None, None].to(device)
    return np.asarray(learner.trunk(maps)[:, :, 0, 0].cpu().numpy())


@torch.no_grad()
def _assign(tensor: Tensor | None, values: npt.NDArray[np.floating]) -> None:
    cast("Tensor", tensor).copy_(torch.from_numpy(np.asarray(values, np.float32)))
