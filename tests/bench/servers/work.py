"""The work of a request, which every server of the comparison does alike: decode, segment, prepare, ask the network.

Decoding and preprocessing are our own functions. The network is torch's, as users of these servers run it, or one of
our engines. BENCH_MODEL names the folder of a published version, BENCH_ENGINE the engine.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import services  # noqa: F401  sets what OpenMP and ONNX Runtime must know before they are imported

# isort: split
import cv2
import numpy as np

from shared.domain.records import CLASSES
from shared.imaging.preprocess import Preprocessing, prepare
from shared.modelling.card import INT8, ONNX
from shared.modelling.engines.interface import Graph

THREADS = 1
"""Threads of a worker: as many as there are cores for it, with one worker a core."""


def load() -> Callable[[bytes], dict[str, Any]]:
    """A function from an image file to the answer that is sent."""
    cv2.setNumThreads(THREADS)
    folder, preprocessing = Path(os.environ["BENCH_MODEL"]), Preprocessing(size=int(os.environ["BENCH_SIZE"]))
    engine = os.environ["BENCH_ENGINE"]
    logits = _torch(folder, engine == "torch-bf16") if engine.startswith("torch") else _cpu(folder, engine)

    def answer(data: bytes) -> dict[str, Any]:
        weights = np.exp(logits(prepare(data, preprocessing).input[None])[0])
        chances = weights / weights.sum()
        named = {label.value: float(chance) for label, chance in zip(CLASSES, chances, strict=True)}
        return {"class": max(named, key=named.__getitem__), "probabilities": named}

    return answer


def _torch(folder: Path, bfloat16: bool) -> Callable[[Any], Any]:
    import torch
    from safetensors.torch import load_file

    from shared.modelling.networks import build

    torch.set_num_threads(THREADS)
    network = build("resnet50")
    network.load_state_dict(load_file(folder / "model.safetensors"))
    network.eval()
    if bfloat16:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def logits(films: Any) -> Any:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return network(torch.from_numpy(films))[0].float().numpy()

    return logits


def _cpu(folder: Path, name: str) -> Callable[[Any], Any]:
    """Run one of our engines, as our service does."""
    from services.inference.serving.engines import load_engine

    graph = Graph.of((folder / (INT8 if name.endswith("-int8") else ONNX)).read_bytes())
    engine = load_engine(name, graph, THREADS, None)
    return lambda films: engine.run(films).logits
