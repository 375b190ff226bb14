"""The files of a published model: safetensors weights, the ONNX graph that serves the CPU, and golden answers."""

import tempfile
import warnings
from pathlib import Path

import onnxruntime
import torch
from safetensors.torch import load, save

from services.train.core import Floats
from shared.modelling.golden import check_golden, golden_answers, golden_inputs
from shared.modelling.networks import MammogramNetwork, build
from shared.modelling.recipes import Network

WEIGHTS, ONNX, GOLDEN = "model.safetensors", "model.onnx", "golden.json"
_TOLERANCE = 1e-4


def network_to_bytes(network: MammogramNetwork) -> bytes:
    return save({name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()})


def network_from_bytes(kind: Network, weights: bytes) -> MammogramNetwork:
    network = build(kind)
    network.load_state_dict(load(weights))
    return network.eval()


def model_files(kind: Network, weights: bytes, input_size: int, seed: int) -> dict[str, bytes]:
    """Everything that a version holds besides its card and report.

    Raises:
        ModelCorrupt: ONNX Runtime and torch disagree on the golden inputs.
    """
    network = network_from_bytes(kind, weights)
    inputs = golden_inputs(input_size, seed)
    with torch.inference_mode():
        golden = golden_answers(input_size, seed, network(torch.from_numpy(inputs))[0].numpy())
    graph = _export(network, inputs)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    check_golden(golden, lambda films: session.run(["logits"], {"films": films})[0], _TOLERANCE)
    return {WEIGHTS: weights, ONNX: graph, GOLDEN: golden}


def _export(network: MammogramNetwork, example: Floats) -> bytes:
    batch = torch.export.Dim("batch")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's notes on its own deprecations are not ours to mend
        target = Path(folder) / ONNX
        torch.onnx.export(
            network,
            (torch.from_numpy(example),),
            str(target),
            input_names=["films"],
            output_names=["logits", "features"],
            dynamo=True,
            dynamic_shapes=({0: batch},),
            external_data=False,
            verbose=False,
        )
        return target.read_bytes()
