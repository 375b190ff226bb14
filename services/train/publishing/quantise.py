"""Quantisation of a published network to 8-bit integers: less memory, and faster on CPUs with such instructions.

It is offered only where it judges the validation films as the network itself does (`number_formats`). It is
calibrated on training films, so that the films that judge it have had no part in it. After training quantisation as
ONNX Runtime does it (Jacob et al., CVPR 2018): weights by channel, activations by the range that films fill.
"""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from shared.domain.arrays import Float32Array

CALIBRATION_FILMS = 64
_BATCH = 8


def quantised(graph: bytes, films: Float32Array) -> bytes:
    """Quantise a graph, calibrated on `films` (float32 N x 1 x S x S); inputs and outputs stay float32."""
    quieter = logging.getLogger()
    before = quieter.level
    quieter.setLevel(logging.ERROR)  # the quantiser logs hints to the root logger that don't apply here
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, prepare_device, target = (
                Path(folder) / name for name in ("fp32.onnx", "prepared.onnx", "int8.onnx")
            )
            source.write_bytes(graph)
            quant_pre_process(source, prepare_device, skip_symbolic_shape=True)
            quantize_static(
                prepare_device,
                target,
                _Films(films),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                reduce_range=True,  # 7 bits of weight: CPUs without VNNI add in 16 bits, and would saturate
            )
            return target.read_bytes()
    finally:
        quieter.setLevel(before)


def logits_of(graph: bytes, films: Float32Array) -> Float32Array:
    """Run a graph: films float32 N x 1 x S x S to logits N x 3."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logits"], {"films": batch})[0] for batch in _batches(films)])


class _Films(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """The calibration films, batch by batch."""

    def __init__(self, films: Float32Array) -> None:
        self._batches = _batches(films)

    def get_next(self) -> dict[str, Float32Array] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"films": batch}


def _batches(films: Float32Array) -> Iterator[Float32Array]:
    return (films[start : start + _BATCH] for start in range(0, len(films), _BATCH))
