"""The scores by which an epoch is judged: log loss and macro AUC."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from shared.domain.arrays import Float32Array, Float64Array
from shared.domain.records import CLASSES


def log_loss(probabilities: Float64Array, labels: npt.NDArray[np.int64], weights: Float32Array | None = None) -> float:
    """The mean cross-entropy of probabilities (n x 3), over films or over the `weights` (3) of their classes."""
    each = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))
    return float(np.average(each, weights=None if weights is None else weights[labels]))


def macro_auc(labels: npt.NDArray[np.int64], probabilities: Float64Array) -> float | None:
    """Mean one-vs-rest area under the ROC curve; None where a class has no film, or all of them."""
    if len(set(labels.tolist())) < len(CLASSES):
        return None
    return float(np.mean([roc_auc_score(labels == index, probabilities[:, index]) for index in range(len(CLASSES))]))
