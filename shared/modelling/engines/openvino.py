"""Run a published network by OpenVINO, in single precision, bfloat16 or the 8-bit integers of its graph.

A film that is alone takes all cores; of others each takes one. The number of threads of a film is fixed with the
compiled network, so there are two. Both are imported from one mapped file (`compiled_files`): importing takes a tenth
of a second, and the original weights, which OpenVINO packs anew for the CPU, cost no memory.
"""

import functools
import mmap
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from shared.allocator import return_freed_memory
from shared.domain.arrays import Float32Array
from shared.errors import ModelCorrupt, ModelNotReady
from shared.modelling.engines.compiled_files import CompiledFiles, key_of
from shared.modelling.engines.interface import EngineUnavailable, Graph, NetworkOutput
from shared.modelling.engines.names import NumberFormat

_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""By number format: what the layers are computed in that the graph does not quantise. `f16` is slower than `f32`."""

_DEVICE = "CPU"

_MAKING_CORE = threading.Lock()

_make_core = functools.cache(openvino.Core)


class OpenVinoEngine:
    """A network in OpenVINO."""

    def __init__(self, graph: Graph, threads: int, numbers: NumberFormat, cache: Path | None = None) -> None:
        """Compile `graph`, or take it from the folder `cache` of compiled networks, which is known by its digest.

        Raises:
            ModelCorrupt: this release of OpenVINO can't read the model.
            EngineUnavailable: it can't run it in this number format on this CPU.
            ModelNotReady: there is no space for the compiled network.
        """
        core = _core()
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _HINTS[numbers], "INFERENCE_NUM_THREADS": threads}
        # one key for any number of threads: an export holds the graph, and streams are laid out when it is imported
        key = key_of(openvino.get_version(), numbers, graph.sha256)
        try:
            mapped, length = CompiledFiles(cache).mapped(key, lambda: _compile(core, graph.read(), options))
        except OSError as error:
            raise ModelNotReady(
                f"no room for a compiled network ({error}); free some space, or set TMPDIR to a folder with more"
            ) from error

        def load(streams: int) -> _Requests:
            compiled = _import(core, mapped, length, options | {"NUM_STREAMS": streams})
            if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != _HINTS[numbers]:
                raise EngineUnavailable(f"OpenVINO can't compute in {numbers} on this CPU")
            return _Requests(compiled)

        self._mapped = mapped  # which the networks read from; OpenVINO does not hold it
        with ThreadPoolExecutor(2) as pool:  # each packs its weights with one thread
            self._one_core, *shared = pool.map(load, (threads, 1) if threads > 1 else (1,))
        self._all_cores = shared[0] if shared else self._one_core
        mapped.madvise(mmap.MADV_DONTNEED)  # the original weights; they are read again if they are needed again
        return_freed_memory()

    def run(self, films: Float32Array, *, alone: bool = False) -> NetworkOutput:
        """Run the network on films; see `Engine`."""
        requests = self._all_cores if alone else self._one_core
        each = [requests.run(films[number : number + 1]) for number in range(len(films))]
        return each[0] if len(each) == 1 else NetworkOutput(*map(np.concatenate, zip(*each, strict=True)))


class _Requests:
    """Requests of a compiled network: as many as threads have ever asked at a time."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        """Run a film of zeros, at which the weights are packed.

        Raises:
            EngineUnavailable: this CPU can't run the network.
        """
        self._compiled = compiled
        self._free: deque[openvino.InferRequest] = deque()
        *_, edge = compiled.input("films").partial_shape
        try:
            self.run(np.zeros((1, 1, edge.get_length(), edge.get_length()), np.float32))
        except RuntimeError as error:
            raise EngineUnavailable(f"OpenVINO can't run the compiled model: {error}") from error

    def run(self, film: Float32Array) -> NetworkOutput:
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        request.infer({"films": film}, share_inputs=True)
        logits, features = (np.array(request.get_tensor(name).data, np.float32) for name in ("logits", "features"))
        self._free.append(request)
        return NetworkOutput(logits, features)


def _core() -> openvino.Core:
    """Return OpenVINO's core, one for the process, which lives as long.

    Each core gives the thread that first compiles with it a signal stack, and puts the one from before back when it
    ends, in whatever thread that is. With two cores, or two threads, one is left with a stack that is freed: its next
    signal, SIGTERM for example, ends the process by SIGSEGV.
    """
    with _MAKING_CORE:  # two threads at once would make two
        return _make_core()


def _compile(core: openvino.Core, graph: bytes, options: dict[str, Any]) -> bytes:
    try:
        model = core.read_model(graph)
    except Exception as error:  # it raises RuntimeError and its own types, and none lets the model be used
        raise ModelCorrupt(f"OpenVINO can't read the model: {error}") from error
    try:
        return bytes(core.compile_model(model, _DEVICE, options).export_model().getvalue())
    except RuntimeError as error:
        raise EngineUnavailable(f"OpenVINO can't compile the model for this CPU: {error}") from error


def _import(core: openvino.Core, mapped: mmap.mmap, length: int, options: dict[str, Any]) -> openvino.CompiledModel:
    try:
        tensor = openvino.Tensor(np.frombuffer(mapped, np.uint8, length), shared_memory=True)
        return core.import_model(tensor, _DEVICE, options)
    except RuntimeError as error:
        raise EngineUnavailable(f"OpenVINO can't import the compiled model: {error}") from error
