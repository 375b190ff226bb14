"""Run a published network by ONNX Runtime.

A film that is alone takes all cores; of others each takes one. ONNX Runtime fixes the number of threads with the
session, so there are two sessions over one copy of the weights: the graph is optimised for this CPU once and written to
a file, from which both sessions map the weights. The file is deleted as soon as they have.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime

from shared.allocator import return_freed_memory
from shared.domain.arrays import Float32Array
from shared.errors import ModelCorrupt, ModelNotReady
from shared.modelling.engines.interface import NetworkOutput

_ERRORS_ONLY = 3


class OnnxEngine:
    """A network in ONNX Runtime, in the number format of its graph."""

    def __init__(self, graph: bytes, threads: int) -> None:
        """Load `graph`, copying its weights to a temporary file.

        Raises:
            ModelCorrupt: this release of ONNX Runtime can't read the model.
            ModelNotReady: there is no space for the file.
        """
        with _temporary_folder() as folder:
            if shutil.disk_usage(folder).free < 2 * len(graph):
                raise ModelNotReady(
                    f"no room for {2 * len(graph) >> 20} MB in {folder}; free some space, or set TMPDIR"
                )
            optimised = _optimise(graph, Path(folder))
            self._one_core = _session(str(optimised), _options(1))
            self._all_cores = _session(str(optimised), _options(threads)) if threads > 1 else self._one_core
        return_freed_memory()

    def run(self, films: Float32Array, *, alone: bool = False) -> NetworkOutput:
        """Run the network on films; see `Engine`."""
        session = self._all_cores if alone else self._one_core
        logits, features = session.run(["logits", "features"], {"films": films})
        return NetworkOutput(np.asarray(logits, np.float32), np.asarray(features, np.float32))


@contextmanager
def _temporary_folder() -> Iterator[str]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="mammostack-model-")
    except OSError as error:
        raise ModelNotReady(
            f"no temporary folder for the model ({error}); set TMPDIR to one that is writable"
        ) from error
    with folder as path:
        yield path


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
    """Return options for a graph that is optimised already."""
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
