"""Runs a published network on the CPU by ONNX Runtime. Arrays in, arrays out.

A request that is alone takes all cores; of others each core answers one or two at a time. ONNX Runtime fixes the
number of threads with the session, so there are two sessions, over one copy of the weights: the graph is optimised for
this CPU once and written to a file, from which both sessions map the weights. The file is deleted as soon as they have.
"""

import ctypes
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime

from services.inference.admission.batching import MicroBatcher, NetworkOutput, cores_for
from services.inference.admission.queueing import MOST_AT_ONCE
from shared.domain.arrays import Float32Array
from shared.errors import ModelCorrupt, ModelNotReady

_ERRORS_ONLY = 3


class Runner(Protocol):
    """Interface of a loaded network: `Engine` or `torch_engine.TorchEngine`."""

    def run(self, films: Float32Array, *, alone: bool = False) -> NetworkOutput: ...

    def run_prepared(self, prepare: Callable[[], Float32Array], *, alone: bool = False) -> NetworkOutput: ...

    def logits(self, films: Float32Array) -> Float32Array: ...


class Engine:
    """One loaded network. `run` may be called from several threads at a time."""

    def __init__(self, graph: bytes, threads: int) -> None:
        """Load `graph`, copying its weights to a temporary file.

        Raises:
            ModelCorrupt: this release of ONNX Runtime can't read the model.
            ModelNotReady: there is no space for the file.
        """
        with tempfile.TemporaryDirectory(prefix="mammostack-model-") as folder:
            if shutil.disk_usage(folder).free < 2 * len(graph):
                raise ModelNotReady(
                    f"no room for {2 * len(graph) >> 20} MB in {folder}; free some space, or set TMPDIR"
                )
            optimised = _optimise(graph, Path(folder))
            one_core = _session(str(optimised), _options(1))
            self._all_cores = _session(str(optimised), _options(threads)) if threads > 1 else one_core
        self._batcher = MicroBatcher(partial(_forward, one_core), threads, MOST_AT_ONCE, cores_for(threads))
        _return_freed_memory()

    def run(self, films: Float32Array, *, alone: bool = False) -> NetworkOutput:
        """Run the network on inputs, float32 N x 1 x S x S in [0, 1].

        Args:
            alone: no other request is active, so this one may use all cores; else it uses one, or a part of it.
        """
        return _forward(self._all_cores, films) if alone else self._batcher.run(films)

    def run_prepared(self, prepare: Callable[[], Float32Array], *, alone: bool = False) -> NetworkOutput:
        """Run the network on the films that `prepare` makes, once a core is free.

        Errors of `prepare` are passed on.
        """
        return self.run(prepare(), alone=True) if alone else self._batcher.run_prepared(prepare)

    def logits(self, films: Float32Array) -> Float32Array:
        """Float32 N x 3."""
        return self.run(films, alone=True).logits


def _forward(session: onnxruntime.InferenceSession, films: Float32Array) -> NetworkOutput:
    logits, features = session.run(["logits", "features"], {"films": films})
    return NetworkOutput(np.asarray(logits, np.float32), np.asarray(features, np.float32))


def _optimise(graph: bytes, folder: Path) -> Path:
    """Write the graph optimised for this CPU; its weights go to a mappable file."""
    target = folder / "optimised.onnx"
    options = _options(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    options.log_severity_level = _ERRORS_ONLY  # it warns that the file is for this CPU alone
    _session(graph, options)
    return target


def _options(threads: int) -> onnxruntime.SessionOptions:
    """For a graph that is optimised already."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # a thread that waits must sleep: others need its core
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(model: bytes | str, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises many types, and none of them lets the model be used
        raise ModelCorrupt(f"ONNX Runtime can't load the model: {error}") from error


def _return_freed_memory() -> None:
    """Return freed memory to the system: after loading, glibc keeps the weights' size."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
