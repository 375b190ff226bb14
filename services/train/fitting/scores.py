"""Scores of an epoch: log loss and macro AUC."""

import numpy as np
from sklearn.metrics import roc_auc_score

from shared.domain.arrays import Float32Array, Float64Array, Int64Array
from shared.domain.records import CLASSES


def log_loss(probabilities: Float64Array, labels: Int64Array, class_weights: Float32Array | None = None) -> float:
    """Compute the mean cross-entropy of probabilities (n x 3), optionally weighted by class (3).

    NaN if a probability is, where scikit-learn's raises ValueError: a diverged training has such probabilities.
    """
    losses = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))
    return float(np.average(losses, weights=None if class_weights is None else class_weights[labels]))


def macro_auc(labels: Int64Array, probabilities: Float64Array) -> float | None:
    """Compute the mean one-vs-rest area under the ROC curve; None unless every class has a film."""
    if len(np.unique(labels)) < len(CLASSES):
        return None
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))
