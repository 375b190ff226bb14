"""The choice of an engine: the fastest that the card offers, as measured here, remembered, and never a wrong one."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from services.inference.serving import engine_speed, engines
from services.inference.serving.engines import fastest_engine
from services.inference.serving.model_loader import WantedEngine, load_model
from shared.modelling.card import GOLDEN, ONNX
from shared.modelling.engines.interface import Engine
from shared.modelling.engines.names import CPU_ENGINES, CpuEngine, number_format
from shared.store import models
from shared.store.interface import ObjectStore
from tests.support.published import NETWORK

SLOWER = {"onnx": 0.05, "openvino": 0.06}


def choose(
    store: ObjectStore, seconds: dict[str, float], monkeypatch: pytest.MonkeyPatch, cache: Path | None = None
) -> str:
    monkeypatch.setattr(engines, "_measure", lambda *_: seconds)
    return fastest_engine(models.read_card(store, NETWORK, "v1"), lambda _name: b"", cache)


class TestFastestEngine:
    @pytest.mark.parametrize(
        ("seconds", "fastest"),
        [
            (SLOWER, "onnx"),
            ({**SLOWER, "openvino-bf16": 0.02, "onnx-int8": 0.015, "openvino-int8": 0.01}, "openvino-int8"),
            ({**SLOWER, "openvino-bf16": 0.01, "onnx-int8": 0.02, "openvino-int8": 0.01}, "openvino-bf16"),
            ({**SLOWER, "openvino-bf16": 0.2}, "onnx"),  # a CPU that emulates bfloat16
            ({"onnx": 0.05, "openvino": 0.049}, "onnx"),  # what gains nothing is not worth other last bits
            ({"openvino": 0.05}, "openvino"),
            ({}, "onnx"),
        ],
    )
    def test_the_fastest_is_taken_unless_a_more_exact_one_is_as_fast(
        self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float], fastest: str
    ) -> None:
        assert choose(store, seconds, monkeypatch) == fastest

    def test_what_was_measured_is_remembered_and_measured_again_where_it_is_damaged(
        self, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = tmp_path / "cache"
        assert choose(store, {"onnx": 0.05, "openvino": 0.01}, monkeypatch, cache) == "openvino"
        assert choose(store, {}, monkeypatch, cache) == "openvino"
        (remembered,) = cache.glob("*.json")
        for damage in ("", "{", "[]", "{}", '{"another": 1}', '{"onnx": "x", "openvino": 1}'):
            remembered.write_text(damage)
            assert choose(store, SLOWER, monkeypatch, cache) == "onnx"
        assert json.loads(remembered.read_text()) == SLOWER

    @pytest.mark.external
    def test_a_measurement_that_fails_leaves_onnx_runtime(
        self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        card = models.read_card(store, NETWORK, "v1")
        assert fastest_engine(card, lambda name: models.read_file(store, card, name), None) == "onnx"


class TestEngines:
    @pytest.mark.external
    def test_the_engines_of_a_version_are_measured_and_one_of_them_serves_it(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        model = load_model(store, NETWORK, "v1", WantedEngine(1, "auto", tmp_path))
        (remembered,) = tmp_path.glob("*.json")
        seconds = json.loads(remembered.read_text())
        assert set(seconds) == {"onnx", "openvino"}
        assert all(0 < each < 10 for each in seconds.values())
        assert model.engine_name in seconds

    def test_an_engine_that_answers_its_golden_inputs_otherwise_is_not_measured(
        self, files: dict[str, dict[str, bytes]], tmp_path: Path
    ) -> None:
        for name, content in (("a", files["v1"][ONNX]), ("golden", files["v1"][GOLDEN]), ("b", files["v2"][ONNX])):
            (tmp_path / name).write_bytes(content)
        seconds = engine_speed.main(tmp_path, [("onnx", "a", "golden", 1e-3), ("openvino", "b", "golden", 1e-3)])
        assert list(seconds) == ["onnx"]

    def test_an_engine_that_fails_in_its_own_way_leaves_the_others(
        self, files: dict[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, content in (("a", files["v1"][ONNX]), ("golden", files["v1"][GOLDEN])):
            (tmp_path / name).write_bytes(content)

        def failing(name: CpuEngine, *rest: Any) -> Engine:
            if name == "openvino":
                raise RuntimeError("not implemented on this CPU")
            return engines.load_engine(name, *rest)

        monkeypatch.setattr(engine_speed, "load_engine", failing)
        seconds = engine_speed.main(tmp_path, [("openvino", "a", "golden", 1e-3), ("onnx", "a", "golden", 1e-3)])
        assert list(seconds) == ["onnx"]

    def test_go_from_the_most_exact_to_the_least(self) -> None:
        order = {"float32": 0, "bfloat16": 1, "int8": 2}
        ranks = [order[number_format(engine)] for engine in CPU_ENGINES]
        assert ranks == sorted(ranks)
