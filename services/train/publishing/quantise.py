"""Quantisation of a published network to 8-bit integers: less memory, and faster on CPUs with such instructions.

The quantised graph is offered only if it agrees with the network on the validation films (`judge`). It is calibrated on
training films, so that the comparison is independent. Post-training quantisation by ONNX Runtime (Jacob et al., CVPR
2018): weights by channel, activations by the range of the calibration films.
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

from services.train.data.examples import Examples
from services.train.fitting.scores import macro_auc
from shared.domain.arrays import Float32Array
from shared.modelling.calibration import MIN_FILMS, OperatingPoint, abnormal_score, calibrate, softmax, verdict
from shared.modelling.card import Int8Report

CALIBRATION_FILMS = 64
MOST_AUC_APART = 0.005
LEAST_EQUAL = 0.99
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


def judge(
    graph: bytes,
    int8: bytes,
    validation: Examples,
    temperature: float,
    points: tuple[OperatingPoint, ...],
) -> Int8Report:
    """Compare both graphs on the validation films: AUC, and decisions at the operating points of the card."""
    labels, films = validation.labels, np.asarray(validation.inputs, np.float32)
    ours, theirs = (calibrate(softmax(logits_of(each, films)), temperature) for each in (graph, int8))
    equal = [
        verdict(one, point.threshold, point.uncertain) == verdict(other, point.threshold, point.uncertain)
        for point in points
        for one, other in zip(abnormal_score(ours), abnormal_score(theirs), strict=True)
    ]
    auc, auc_int8 = macro_auc(labels, ours), macro_auc(labels, theirs)
    share = float(np.mean(equal))
    close = auc is not None and auc_int8 is not None and abs(auc - auc_int8) <= MOST_AUC_APART
    return Int8Report(
        films=len(labels),
        auc=auc,
        auc_int8=auc_int8,
        decisions_equal=share,
        offered=close and share >= LEAST_EQUAL and len(labels) >= MIN_FILMS,
    )


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
