"""A published graph of a small network, for the tests of engines."""

import numpy as np
import pytest
import torch

from services.train.fitting.serialise import network_to_bytes
from services.train.publishing.publish import model_files
from services.train.publishing.quantise import quantised
from shared.modelling.card import ONNX
from shared.modelling.golden import golden_inputs
from shared.modelling.networks import build

SIZE = 64


@pytest.fixture(scope="session")
def graph() -> bytes:
    torch.manual_seed(3)
    network = build("modified_cnn")
    with torch.no_grad():  # its batch norms see some films, as training would show them
        network(torch.from_numpy(np.concatenate([golden_inputs(SIZE, seed) for seed in range(100, 108)])))
    return model_files("modified_cnn", network_to_bytes(network), SIZE, 3)[ONNX]


@pytest.fixture(scope="session")
def int8_graph(graph: bytes) -> bytes:
    return quantised(graph, np.concatenate([golden_inputs(SIZE, seed) for seed in range(50, 58)]))
