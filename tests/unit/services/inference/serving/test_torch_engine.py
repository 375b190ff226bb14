"""The GPU's path, here on a CPU: the same answers as ONNX Runtime gives, and calls that come together share a batch."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from services.inference.serving.torch_engine import MOST_AT_ONCE, TorchEngine
from shared.errors import ModelCorrupt
from shared.modelling.card import ONNX, WEIGHTS
from shared.modelling.engines.onnx import OnnxEngine
from shared.modelling.golden import golden_inputs
from tests.support.published import NETWORK, SIZE


@pytest.fixture(scope="module")
def engine(files: dict[str, dict[str, bytes]]) -> TorchEngine:
    return TorchEngine(NETWORK, files["v1"][WEIGHTS], 1)


class TestTorchEngine:
    def test_it_answers_as_the_published_graph_does(
        self, engine: TorchEngine, files: dict[str, dict[str, bytes]]
    ) -> None:
        films = golden_inputs(SIZE, 9)
        ours, theirs = engine.run(films), OnnxEngine(files["v1"][ONNX], 1).run(films)
        assert np.allclose(ours.logits, theirs.logits, atol=1e-4)
        assert np.allclose(ours.features, theirs.features, atol=1e-3)

    def test_calls_that_come_while_it_is_at_work_share_one_batch_and_each_gets_its_own_answer(
        self, engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forward, sizes, busy, go_on = engine._forward, [], Event(), Event()

        def slow(films: np.ndarray) -> object:
            sizes.append(len(films))
            busy.set()
            assert go_on.wait(10)
            return forward(films)

        films = [golden_inputs(SIZE, seed)[:1] for seed in range(5)]
        expected = [engine.run(film).logits for film in films]
        monkeypatch.setattr(engine, "_forward", slow)
        with ThreadPoolExecutor(5) as pool:
            first = pool.submit(engine.run, films[0])
            assert busy.wait(10)
            others = [pool.submit(engine.run, film) for film in films[1:]]
            while len(engine._waiting) < 4:
                assert not first.done()
            go_on.set()
            answers = [asked.result(10).logits for asked in (first, *others)]
        assert sizes == [1, 4]
        for answer, right in zip(answers, expected, strict=True):
            assert np.allclose(answer, right, atol=1e-5)

    def test_no_batch_is_larger_than_it_may_be(self, engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        forward, sizes = engine._forward, []

        def counted(films: np.ndarray) -> object:
            sizes.append(len(films))
            return forward(films)

        monkeypatch.setattr(engine, "_forward", counted)
        film = golden_inputs(SIZE, 1)[:1]
        with ThreadPoolExecutor(16) as pool:
            assert len(list(pool.map(engine.run, [film] * (MOST_AT_ONCE + 20)))) == MOST_AT_ONCE + 20
        assert sum(sizes) == MOST_AT_ONCE + 20
        assert max(sizes) <= MOST_AT_ONCE

    def test_a_batch_that_fails_is_told_to_all_and_the_next_one_works(
        self, engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(engine, "_forward", lambda _films: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                engine.run(golden_inputs(SIZE, 1))
        assert engine.run(golden_inputs(SIZE, 1)).logits.shape == (2, 3)

    @pytest.mark.parametrize("kind", ["alexnet", "modified_cnn"])
    def test_weights_of_another_network_or_none_at_all_are_refused(
        self, kind: str, files: dict[str, dict[str, bytes]]
    ) -> None:
        weights = files["v1"][WEIGHTS] if kind == "alexnet" else b"no safetensors"
        with pytest.raises(ModelCorrupt, match="publish the model again"):
            TorchEngine(kind, weights, 1)
