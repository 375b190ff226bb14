"""Where on a film the network's answer comes from: the class-activation map (Zhou et al., CVPR 2016).

For networks that end in average pooling and one linear layer it is one matrix product, no gradient.
"""

import numpy as np

from shared.domain.arrays import Float32Array


def activation_map(features: Float32Array, head: Float32Array, label: int) -> Float32Array:
    """The map of class `label` (float32 h x w, 0..1) from features (C x h x w) and head weights (3 x C).

    What speaks against the class is 0; a film on which nothing speaks for it gets a map of zeros.
    """
    channels, height, width = features.shape
    raw = np.maximum(head[label] @ features.reshape(channels, -1), 0).reshape(height, width)
    return np.asarray(raw / max(float(raw.max()), 1e-12), np.float32)
