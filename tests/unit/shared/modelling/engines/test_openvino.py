"""OpenVINO: it answers as ONNX Runtime does in the same numbers, from the same files, and starts from compiled ones."""

import ctypes
import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from shared.errors import ModelCorrupt
from shared.modelling.engines.interface import EngineUnavailable, Graph
from shared.modelling.engines.onnx import OnnxEngine
from shared.modelling.engines.openvino import OpenVinoEngine
from shared.modelling.golden import golden_inputs

pytestmark = pytest.mark.slow

SIZE = 64
FILMS = golden_inputs(SIZE, 9)


class _SignalStack(ctypes.Structure):
    """`stack_t` of signal.h."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack() -> tuple[int | None, int]:
    """Return the address and size of the stack on which this thread handles signals."""
    stack = _SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.address, stack.size


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


class TestOpenVinoEngine:
    def test_single_precision_answers_as_onnx_runtime_does(self, graph: bytes) -> None:
        ours, theirs = OpenVinoEngine(Graph.of(graph), 1, "float32").run(FILMS), OnnxEngine(graph, 1).run(FILMS)
        assert apart(ours.logits, theirs.logits) < 1e-5
        assert apart(ours.features, theirs.features) < 1e-4
        assert ours.logits.dtype == np.float32
        assert ours.features.shape == theirs.features.shape

    def test_8_bit_integers_answer_as_onnx_runtime_does(self, int8_graph: bytes) -> None:
        ours, theirs = OpenVinoEngine(Graph.of(int8_graph), 1, "int8").run(FILMS), OnnxEngine(int8_graph, 1).run(FILMS)
        assert apart(ours.logits, theirs.logits) < 0.05

    def test_bfloat16_is_near_single_precision_but_not_the_same(self, graph: bytes) -> None:
        try:
            ours = OpenVinoEngine(Graph.of(graph), 1, "bfloat16").run(FILMS)
        except EngineUnavailable:
            pytest.skip("this CPU can't compute in bfloat16")
        assert 1e-5 < apart(ours.logits, OpenVinoEngine(Graph.of(graph), 1, "float32").run(FILMS).logits) < 0.05

    def test_one_core_and_all_cores_give_the_same_answer_to_threads_at_a_time(self, graph: bytes) -> None:
        engine = OpenVinoEngine(Graph.of(graph), 2, "float32")
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda number: engine.run(FILMS, alone=number % 2 == 0).logits, range(20)))
        for answer in answers:
            assert answer == pytest.approx(answers[0], abs=1e-5)

    def test_an_answer_stays_when_the_next_film_is_run(self, graph: bytes) -> None:
        engine = OpenVinoEngine(Graph.of(graph), 1, "float32")
        first = engine.run(FILMS[:1])
        logits, features = first.logits.copy(), first.features.copy()
        engine.run(FILMS[1:])
        assert (first.logits == logits).all()
        assert (first.features == features).all()

    def test_a_second_start_takes_the_compiled_network_and_answers_the_same(
        self, graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = OpenVinoEngine(Graph.of(graph), 1, "float32", tmp_path).run(FILMS)
        monkeypatch.setattr("shared.modelling.engines.openvino._compile", lambda *_: pytest.fail("compiled again"))
        unread = Graph(Graph.of(graph).sha256, lambda: pytest.fail("the graph was read"))
        second = OpenVinoEngine(unread, 2, "float32", tmp_path).run(FILMS)
        assert (first.logits == second.logits).all()

    def test_a_damaged_compiled_network_is_made_again(self, graph: bytes, tmp_path: Path) -> None:
        first = OpenVinoEngine(Graph.of(graph), 1, "float32", tmp_path).run(FILMS)
        (kept,) = tmp_path.glob("*.compiled")
        right = kept.read_bytes()
        for damaged in (right[:1000], right[:5000] + bytes([right[5000] ^ 1]) + right[5001:], b""):
            kept.write_bytes(damaged)
            assert (OpenVinoEngine(Graph.of(graph), 1, "float32", tmp_path).run(FILMS).logits == first.logits).all()
            made = kept.read_bytes()  # exports of the same network differ by some bytes
            assert made[-32:] == hashlib.sha256(made[:-32]).digest()

    def test_without_a_folder_nothing_is_left_on_the_disk(
        self, graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        engine = OpenVinoEngine(Graph.of(graph), 1, "float32")
        assert list(tmp_path.iterdir()) == []
        assert engine.run(FILMS).logits.shape == (2, 3)

    @pytest.mark.parametrize("graph", [b"", b"no model", bytes(1000)])
    def test_what_is_no_graph_is_corrupt(self, graph: bytes) -> None:
        with pytest.raises(ModelCorrupt, match="can't read the model"):
            OpenVinoEngine(Graph.of(graph), 1, "float32")

    @pytest.mark.parametrize("first_to_end", [0, 1])
    def test_engines_that_end_leave_the_thread_its_signal_stack(self, graph: bytes, first_to_end: int) -> None:
        OpenVinoEngine(Graph.of(graph), 1, "float32")  # which may set it once, for as long as the process lives
        before = signal_stack()
        engines = [OpenVinoEngine(Graph.of(graph), 1, "float32") for _ in range(2)]
        with ThreadPoolExecutor(1) as another_thread:
            another_thread.submit(engines.pop, first_to_end).result()
        engines.clear()
        assert signal_stack() == before
