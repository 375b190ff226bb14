"""Golden inputs: reproducible films whose logits are published with a model, to verify it when it is loaded."""

import json
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32Array
from shared.errors import ModelCorrupt

_COUNT = 2
_COARSE = 8


def golden_inputs(size: int, seed: int) -> Float32Array:
    """Create smooth random fields as network inputs, float32 2 x 1 x size x size in [0, 1]."""
    coarse = np.random.default_rng(seed).random((_COUNT, _COARSE, _COARSE), np.float32)
    return np.stack([cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR)[None] for field in coarse])


def golden_answers(size: int, seed: int, logits: npt.NDArray[Any]) -> bytes:
    """Create the document published with the model; `logits` (2 x 3): the reference's."""
    return json.dumps({"size": size, "seed": seed, "logits": logits.tolist()}).encode()


def golden_difference(document: bytes, run: Any) -> float:
    """Return the largest difference of `run`'s logits from the document's.

    It is relative to the largest of the document's logits, or to 1. `run` maps float32 N x 1 x S x S to logits N x 3.
    """
    golden = json.loads(document)
    expected = np.array(golden["logits"], np.float32)
    logits = run(golden_inputs(golden["size"], golden["seed"]))
    return float(np.abs(logits - expected).max() / max(1.0, float(np.abs(expected).max())))


def check_golden(document: bytes, run: Any, tolerance: float) -> None:
    """Check the logits of `run` against the document.

    Raises:
        ModelCorrupt: they differ by more than `tolerance`.
    """
    difference = golden_difference(document, run)
    if not difference <= tolerance:
        raise ModelCorrupt(
            f"the model's outputs for its golden inputs differ from those when it was published (by {difference:.2g}); "
            "publish it again"
        )
