"""Runs a published network on the CPU by ONNX Runtime. Arrays in, arrays out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime

from shared.errors import ModelCorrupt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What the network says of N films: `logits` (float32 N x 3) and its last `features` (float32 N x C x h x w)."""

    logits: Floats
    features: Floats


class Engine:
    """One loaded network. `run` may be called from several threads at a time."""

    def __init__(self, graph: bytes, threads: int) -> None:
        """Raises ModelCorrupt when `graph` is no ONNX model that this release of ONNX Runtime reads."""
        self._one_core = _session(graph, 1)
        self._all_cores = _session(graph, threads) if threads > 1 else self._one_core

    def run(self, films: Floats, *, alone: bool = False) -> Answer:
        """The answer to network inputs, float32 N x 1 x S x S in [0, 1].

        Args:
            alone: no other request is at work, so this one may take all cores; else it takes one.
        """
        session = self._all_cores if alone else self._one_core
        logits, features = session.run(["logits", "features"], {"films": films})
        return Answer(np.asarray(logits, np.float32), np.asarray(features, np.float32))

    def logits(self, films: Floats) -> Floats:
        """Float32 N x 3."""
        return self.run(films, alone=True).logits


def softmax(logits: Floats) -> npt.NDArray[np.float64]:
    """Along the last axis, in double precision."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _session(graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # a thread that waits must sleep: the other lanes need its core
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises many types, and none of them lets the model be used
        raise ModelCorrupt(f"ONNX Runtime can't load the model: {error}") from error
