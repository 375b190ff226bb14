"""What depends on the device, as far as a CPU can show it: number formats, compiling with its fallback, and inputs that
lie on the device or come to it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from services.train.data import device
from services.train.data.device import (
    Indices,
    autocast,
    compile_on_gpu,
    prepare_device,
    resident_inputs,
    streamed_inputs,
    training_format,
)
from shared.modelling.networks import MammogramNetwork

CPU, GPU = torch.device("cpu"), torch.device("cuda")


class TestTrainingFormat:
    @pytest.mark.parametrize("has_it", [True, False])
    def test_a_cpu_computes_in_bfloat16_where_it_has_it_or_is_told_to(
        self, monkeypatch: pytest.MonkeyPatch, has_it: bool
    ) -> None:
        monkeypatch.setattr(device, "has_amx", lambda: has_it)
        assert training_format("auto", CPU) == ("bfloat16" if has_it else "float32")
        assert training_format("bfloat16", CPU) == "bfloat16"
        assert training_format("float32", CPU) == "float32"

    @pytest.mark.parametrize("has_it", [True, False])
    def test_a_gpu_computes_in_bfloat16_where_it_has_it(self, monkeypatch: pytest.MonkeyPatch, has_it: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_it or including_emulation)
        assert training_format("auto", GPU) == ("bfloat16" if has_it else "float32")
        assert training_format("float32", GPU) == "float32"


class TestAutocast:
    def test_matrix_products_are_in_the_number_format_and_weights_stay_in_single_precision(self) -> None:
        layer, given = nn.Linear(8, 3), torch.rand(2, 8)
        with autocast("bfloat16", CPU):
            assert layer(given).dtype == torch.bfloat16
        with autocast("float32", CPU):
            assert layer(given).dtype == torch.float32
        assert layer.weight.dtype == torch.float32


class TestPrepareDevice:
    def test_the_cpu_is_deterministic_with_as_many_threads_as_it_is_given(self) -> None:
        threads = torch.get_num_threads()
        try:
            assert prepare_device(1, deterministic=False) == CPU
            assert torch.get_num_threads() == 1
            assert torch.are_deterministic_algorithms_enabled()
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(mode=False)


def compiled_by(backend: Callable[..., Any]) -> MammogramNetwork:
    torch.manual_seed(0)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(4, 3))
    network = MammogramNetwork(nn.Sequential(nn.Conv2d(3, 4, 3)), head)
    compile_on_gpu(network, CPU, backend)
    return network


FILMS = torch.rand(2, 1, 8, 8)


class TestCompileOnGpu:
    def test_a_cpu_compiles_nothing(self) -> None:
        def never(*_: object) -> None:
            pytest.fail("it was compiled")

        compiled_by(never)(FILMS)

    def test_a_compiled_network_keeps_the_names_of_its_weights(self, monkeypatch: pytest.MonkeyPatch) -> None:
        graphs: list[Any] = []

        def backend(graph: Any, _inputs: object) -> Any:
            graphs.append(graph)
            return graph.forward

        monkeypatch.setattr(device, "_COMPILED_ON", ("cpu",))
        network = compiled_by(backend)
        network(FILMS)
        assert graphs
        assert {name for name, _ in network.named_parameters()} == {
            "trunk.0.weight", "trunk.0.bias", "head.2.weight", "head.2.bias"
        }  # fmt: skip

    def test_what_can_not_be_compiled_runs_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tried: list[object] = []

        def broken(*graph: object) -> None:
            tried.append(graph)
            raise RuntimeError("there is no compiler")

        as_it_is = compiled_by(broken)(FILMS)[0]
        monkeypatch.setattr(device, "_COMPILED_ON", ("cpu",))
        assert torch.equal(compiled_by(broken)(FILMS)[0], as_it_is)
        assert tried


class TestResidentInputs:
    def test_inputs_that_lie_on_the_device_are_those_that_come_to_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(device, "_CHUNK", 4)
        pool = np.random.default_rng(0).random((10, 1, 8, 8), np.float32)
        asked: list[int] = []

        def batch(chosen: Indices) -> np.ndarray[Any, np.dtype[np.float32]]:
            asked.append(len(chosen))
            return pool[chosen]

        held, chosen = resident_inputs(batch, 10, CPU), np.array([9, 0, 4])
        sent = len(asked)
        assert max(asked) == 4, "the array may be larger than memory"
        assert np.array_equal(held(chosen).numpy(), pool[chosen])
        assert len(asked) == sent, "nothing is read again"
        assert np.array_equal(streamed_inputs(batch, CPU)(chosen).numpy(), pool[chosen])


class TestInputLoader:
    @pytest.mark.parametrize(("free", "stays"), [(2 * 10 * 8 * 8 * 4, True), (2 * 10 * 8 * 8 * 4 - 2, False)])
    def test_a_gpu_holds_what_fits_into_half_of_its_free_memory(
        self, monkeypatch: pytest.MonkeyPatch, free: int, stays: bool
    ) -> None:
        ways: list[str] = []
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 1 << 40))
        monkeypatch.setattr(device, "resident_inputs", lambda *_: ways.append("resident_inputs"))
        monkeypatch.setattr(device, "streamed_inputs", lambda *_: ways.append("streamed_inputs"))
        device.input_loader(lambda chosen: np.zeros((len(chosen), 1, 8, 8), np.float32), 10, GPU)
        assert ways == ["resident_inputs" if stays else "streamed_inputs"]
