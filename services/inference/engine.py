"""Runs a published network on the CPU by ONNX Runtime. Arrays in, arrays out."""

import numpy as np
import numpy.typing as npt
import onnxruntime

from shared.errors import ModelCorrupt

Floats = npt.NDArray[np.float32]


class Engine:
    """One loaded network. `run` may be called from several threads at a time."""

    def __init__(self, graph: bytes, threads: int) -> None:
        """Raises ModelCorrupt when `graph` is no ONNX model that this release of ONNX Runtime reads."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises many types, and none of them lets the model be used
            raise ModelCorrupt(f"ONNX Runtime can't load the model: {error}") from error

    def run(self, films: Floats) -> npt.NDArray[np.float64]:
        """Class probabilities, float64 N x 3, of network inputs, float32 N x 1 x S x S in [0, 1]."""
        return softmax(self.logits(films))

    def logits(self, films: Floats) -> Floats:
        """Float32 N x 3."""
        return np.asarray(self._session.run(["logits"], {"films": films})[0], np.float32)


def softmax(logits: Floats) -> npt.NDArray[np.float64]:
    """Along the last axis, in double precision."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
