"""The GPU's path, here on a CPU: the same answers as ONNX Runtime gives, together or not."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.inference.engine import Engine
from services.inference.torch_engine import TorchEngine
from shared.errors import ModelCorrupt
from shared.modelling.card import ONNX, WEIGHTS
from shared.modelling.golden import golden_inputs

NETWORK, SIZE = "modified_cnn", 64


@pytest.fixture(scope="module")
def engine(files: dict[str, dict[str, bytes]]) -> TorchEngine:
    return TorchEngine(NETWORK, files["v1"][WEIGHTS], 1)


def test_it_answers_as_the_published_graph_does(engine: TorchEngine, files: dict[str, dict[str, bytes]]) -> None:
    films = golden_inputs(SIZE, 9)
    ours, theirs = engine.run(films), Engine(files["v1"][ONNX], 1).run(films)
    assert np.allclose(ours.logits, theirs.logits, atol=1e-4)
    assert np.allclose(ours.features, theirs.features, atol=1e-3)


def test_films_of_calls_that_come_together_are_answered_as_each_by_itself(engine: TorchEngine) -> None:
    films = [golden_inputs(SIZE, seed)[:1] for seed in range(8)]
    expected = [engine.logits(film) for film in films]
    with ThreadPoolExecutor(8) as pool:
        for answer, right in zip(pool.map(engine.logits, films), expected, strict=True):
            assert np.allclose(answer, right, atol=1e-5)


@pytest.mark.parametrize("kind", ["alexnet", "modified_cnn"])
def test_weights_of_another_network_or_none_at_all_are_refused(kind: str, files: dict[str, dict[str, bytes]]) -> None:
    weights = files["v1"][WEIGHTS] if kind == "alexnet" else b"no safetensors"
    with pytest.raises(ModelCorrupt, match="publish the model again"):
        TorchEngine(kind, weights, 1)
