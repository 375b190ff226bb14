"""Choose the engine of a version: the fastest that its card offers, or the one that is set."""

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import cast

from shared.modelling.card import GOLDEN, GOLDEN_BFLOAT16, GOLDEN_INT8, INT8, ONNX, ModelCard
from shared.modelling.engines.compiled_files import key_of
from shared.modelling.engines.interface import Engine, Graph
from shared.modelling.engines.names import CPU_ENGINES, CpuEngine, NumberFormat, number_format

_TOLERANCE = 1e-3
_TOLERANCE_INT8 = 0.05
"""Of cards without one: CPUs round sums of 8-bit products in different ways."""

_LEAST_GAIN = 0.95
"""A less exact engine has to take at most this part of the time of a more exact one."""

_MEASURING_S = 120.0

_log = logging.getLogger("mammostack.inference")


@dataclass(frozen=True)
class Offer:
    """A number format of a version: its graph, and its golden answers with their tolerance."""

    graph: str
    golden: str
    tolerance: float


def offers(card: ModelCard) -> dict[NumberFormat, Offer]:
    """Return the number formats in which a version may be served."""
    offered: dict[NumberFormat, Offer] = {"float32": Offer(ONNX, GOLDEN, _TOLERANCE)}
    if card.bfloat16 and card.bfloat16.offered and card.bfloat16.tolerance and GOLDEN_BFLOAT16 in card.files:
        offered["bfloat16"] = Offer(ONNX, GOLDEN_BFLOAT16, card.bfloat16.tolerance)
    if INT8 in card.files:
        told = card.int8.tolerance if card.int8 else None
        offered["int8"] = Offer(INT8, GOLDEN_INT8, told or _TOLERANCE_INT8)
    return offered


def offered_engine(card: ModelCard, wanted: CpuEngine) -> CpuEngine:
    """Return the engine that is set, or the same in single precision if the version does not offer its format."""
    if number_format(wanted) in offers(card):
        return wanted
    _log.warning(
        "the version does not offer the number format; serving it in single precision",
        extra={"network": card.network, "version": card.version, "engine": wanted},
    )
    return "onnx" if wanted.startswith("onnx") else "openvino"


def load_engine(engine: CpuEngine, graph: Graph, threads: int, cache: Path | None) -> Engine:
    """Load a graph into an engine; the library of another one is not imported.

    Raises:
        ModelCorrupt: the engine can't read the graph.
        ModelNotReady: there is no space.
        EngineUnavailable: the engine can't run it on this CPU.
    """
    if engine.startswith("onnx"):
        from shared.modelling.engines.onnx import OnnxEngine  # noqa: PLC0415  tens of MB and of milliseconds

        return OnnxEngine(graph.read(), threads)
    from shared.modelling.engines.openvino import OpenVinoEngine  # noqa: PLC0415  the same

    return OpenVinoEngine(graph, threads, number_format(engine), cache)


def fastest_engine(card: ModelCard, read: Callable[[str], bytes], cache: Path | None) -> CpuEngine:
    """Return the engine that takes the least time for a film on a core of this CPU.

    What was measured before is remembered in the folder `cache`. A less exact engine is taken only if it gains
    something, and none whose golden answers are wrong here. If nothing can be measured, ONNX Runtime serves in single
    precision.

    Args:
        read: returns a file of the version.
    """
    offered = offers(card)
    files = {name for offer in offered.values() for name in (offer.graph, offer.golden)}
    releases = (f"{name} {version(name)}" for name in ("onnxruntime", "openvino"))
    remembered = cache and cache / f"{key_of(*releases, *(card.files[name] for name in sorted(files)))}.json"
    if remembered is not None:
        with suppress(OSError, ValueError, TypeError):
            return _choice(json.loads(remembered.read_text()))
    seconds = _measure(offered, {name: read(name) for name in files})
    _log.info("engines measured", extra={"network": card.network, "version": card.version, "seconds": seconds})
    if not seconds:
        return "onnx"
    if remembered is not None:
        with suppress(OSError):
            remembered.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            remembered.write_text(json.dumps(seconds))
    return _choice(seconds)


def _choice(seconds: Mapping[str, float]) -> CpuEngine:
    """Choose by measured times; raises ValueError if there is none that is known."""
    best: CpuEngine | None = None
    for engine in CPU_ENGINES:
        if engine in seconds and (best is None or seconds[engine] < _LEAST_GAIN * seconds[best]):
            best = engine
    if best is None:
        raise ValueError("no engine was measured")
    return best


def _measure(offered: Mapping[NumberFormat, Offer], files: Mapping[str, bytes]) -> dict[str, float]:
    """Measure all engines of the offered formats, in a process of its own: those not taken leave no memory behind."""
    offer_of = {engine: offered[form] for engine in CPU_ENGINES if (form := number_format(engine)) in offered}
    jobs = [[engine, offer.graph, offer.golden, offer.tolerance] for engine, offer in offer_of.items()]
    try:
        with tempfile.TemporaryDirectory(prefix="mammostack-measure-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            command = [sys.executable, "-m", "services.inference.serving.engine_speed", folder]
            ended = subprocess.run(
                command, input=json.dumps(jobs), capture_output=True, text=True, check=True, timeout=_MEASURING_S
            )
        return cast("dict[str, float]", json.loads(ended.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        _log.warning("engines not measured; serving by ONNX Runtime", extra={"reason": str(error)[:300]})
        return {}
