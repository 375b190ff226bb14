"""The graph in 8-bit integers is close to the network's own, and is offered only where validation films say so."""

import numpy as np
import pytest
import torch

from services.train.data.examples import Examples
from services.train.fitting.serialise import network_to_bytes
from services.train.publishing.publish import model_files
from services.train.publishing.quantise import judge, logits_of, quantised
from shared.modelling.bootstrap import Interval
from shared.modelling.calibration import MIN_FILMS, OperatingPoint
from shared.modelling.card import ONNX
from shared.modelling.golden import golden_inputs
from shared.modelling.networks import build

SIZE = 64
ANY = Interval(value=0.9, low=0.8, high=0.95)


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


def points(threshold: float) -> tuple[OperatingPoint, ...]:
    return (
        OperatingPoint(
            name="screening", threshold=threshold, uncertain=(threshold, threshold), sensitivity=ANY, specificity=ANY
        ),
    )


def labelled(count: int) -> Examples:
    return Examples(films(count), np.arange(count) % 3)


def test_it_is_smaller_and_answers_nearly_the_same(graph: bytes, int8: bytes) -> None:
    assert len(int8) < 0.5 * len(graph)
    ours, theirs = logits_of(graph, films(8)), logits_of(int8, films(8))
    assert 0 < np.abs(ours - theirs).max() < 0.1 * np.abs(ours).max()


def test_it_is_offered_when_it_decides_as_the_network_does(graph: bytes) -> None:
    report = judge(graph, graph, labelled(MIN_FILMS), 1.0, points(0.9))
    assert (report.decisions_equal, report.auc, report.offered) == (1.0, report.auc_int8, True)


def test_it_is_not_offered_when_it_decides_otherwise(graph: bytes) -> None:
    report = judge(graph, graph_of(4), labelled(MIN_FILMS), 1.0, points(0.6))
    assert report.auc != report.auc_int8
    assert not report.offered


def test_it_is_not_offered_on_the_word_of_a_few_films_or_of_two_classes(graph: bytes) -> None:
    assert not judge(graph, graph, labelled(MIN_FILMS - 1), 1.0, points(0.9)).offered
    two = Examples(films(MIN_FILMS), np.arange(MIN_FILMS) % 2)
    report = judge(graph, graph, two, 1.0, points(0.9))
    assert (report.auc, report.offered) == (None, False)


def test_the_same_films_give_the_same_graph(graph: bytes, int8: bytes) -> None:
    assert quantised(graph, films(16, 50)) == int8
