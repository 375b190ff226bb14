"""ONNX Runtime: one copy of the weights for two sessions that answer alike, and nothing left on the disk."""

import shutil
import tempfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from shared.errors import ModelCorrupt, ModelNotReady
from shared.modelling.engines.onnx import OnnxEngine
from shared.modelling.golden import golden_inputs

pytestmark = pytest.mark.slow

SIZE = 64


class TestOnnxEngine:
    def test_one_core_and_all_cores_give_the_same_answer(self, graph: bytes) -> None:
        engine, films = OnnxEngine(graph, 2), golden_inputs(SIZE, 1)
        alone, beside_others = engine.run(films, alone=True), engine.run(films)
        assert alone.logits == pytest.approx(beside_others.logits, abs=1e-5)
        assert alone.features == pytest.approx(beside_others.features, abs=1e-5)
        assert (alone.logits.shape, alone.features.ndim) == ((2, 3), 4)

    def test_several_films_at_a_time_get_what_each_gets_alone(self, graph: bytes) -> None:
        engine, films = OnnxEngine(graph, 1), golden_inputs(SIZE, 5)
        together = engine.run(films)
        assert (together.logits.shape, together.features.shape[:2]) == ((2, 3), (2, 192))
        for row, film in zip(together.logits, films, strict=True):
            assert engine.run(film[None]).logits[0] == pytest.approx(row, abs=1e-5)

    def test_nothing_of_a_model_is_left_on_the_disk(
        self, graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        engine = OnnxEngine(graph, 2)
        assert list(tmp_path.iterdir()) == []
        assert engine.run(np.zeros((1, 1, SIZE, SIZE), np.float32)).logits.shape == (1, 3)

    def test_a_disk_without_room_is_told_and_may_be_mended(self, graph: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
        with pytest.raises(ModelNotReady, match="set TMPDIR"):
            OnnxEngine(graph, 2)

    @pytest.mark.parametrize("graph", [b"", b"no model", bytes(1000)])
    def test_what_is_no_graph_is_corrupt(self, graph: bytes) -> None:
        with pytest.raises(ModelCorrupt, match="can't load the model"):
            OnnxEngine(graph, 1)
