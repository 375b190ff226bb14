"""The graph in 8-bit integers is close to the network's own."""

import numpy as np
import pytest
import torch

from services.train.fitting.serialise import network_to_bytes
from services.train.publishing.publish import model_files
from services.train.publishing.quantise import logits_of, quantised
from shared.modelling.card import ONNX
from shared.modelling.golden import golden_inputs
from shared.modelling.networks import build

SIZE = 64


def films(count: int, seed: int = 0) -> np.ndarray:
    return np.concatenate([golden_inputs(SIZE, seed + number) for number in range((count + 1) // 2)])[:count]


def graph_of(seed: int) -> bytes:
    torch.manual_seed(seed)
    network = build("modified_cnn")
    with torch.no_grad():
        network(torch.from_numpy(films(16, 100)))  # its batch norms see some films, as training would show them
    return model_files("modified_cnn", network_to_bytes(network), SIZE, seed)[ONNX]


@pytest.fixture(scope="module")
def graph() -> bytes:
    return graph_of(3)


@pytest.fixture(scope="module")
def int8(graph: bytes) -> bytes:
    return quantised(graph, films(16, 50))


class TestLogitsOf:
    def test_it_is_smaller_and_answers_nearly_the_same(self, graph: bytes, int8: bytes) -> None:
        assert len(int8) < 0.5 * len(graph)
        ours, theirs = logits_of(graph, films(8)), logits_of(int8, films(8))
        assert 0 < np.abs(ours - theirs).max() < 0.1 * np.abs(ours).max()


class TestQuantised:
    def test_the_same_films_give_the_same_graph(self, graph: bytes, int8: bytes) -> None:
        assert quantised(graph, films(16, 50)) == int8
