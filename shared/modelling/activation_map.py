"""Class-activation maps (Zhou et al., CVPR 2016).

For networks that end in average pooling and one linear layer a map is one matrix product, without gradients.
"""

import numpy as np

from shared.domain.arrays import Float32Array


def activation_map(features: Float32Array, head: Float32Array, label: int) -> Float32Array:
    """Compute the map of class `label`, float32 h x w, 0..1.

    Evidence against the class is 0; a film without evidence for it gets a map of zeros.

    Args:
        features: last feature map, C x h x w.
        head: weights of the last layer, 3 x C.
        label: class to explain.
    """
    channels, height, width = features.shape
    raw = np.maximum(head[label] @ features.reshape(channels, -1), 0).reshape(height, width)
    return np.asarray(raw / max(float(raw.max()), 1e-12), np.float32)
