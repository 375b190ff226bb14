"""Pretrained weights from files: what fits is loaded and the report says which; nothing in a file is executed."""

from shared.modelling import torchvision_cpu  # noqa: F401  must come before torchvision

# isort: split

import io
import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save

from shared.errors import WeightsUnavailable
from shared.modelling.network_table import Network
from shared.modelling.networks import build
from shared.modelling.weights import download, from_file, load_into


def as_file(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def resnet_state() -> dict[str, torch.Tensor]:
    return torchvision.models.resnet50().state_dict()


class TestLoadInto:
    def test_a_full_imagenet_file_fills_everything_but_the_last_layer(
        self, resnet_state: dict[str, torch.Tensor]
    ) -> None:
        network = build("resnet50")
        report = load_into(network, "resnet50", from_file(as_file(resnet_state), "r.pth"), "file r.pth")
        assert report.missing == ("head.linear",)
        assert report.unexpected == ("fc",)
        assert torch.equal(network.trunk.layer4[2].conv3.weight, resnet_state["layer4.2.conv3.weight"])
        assert torch.equal(network.trunk.bn1.running_var, resnet_state["bn1.running_var"])

    def test_a_trunk_without_its_last_stage_loads_what_it_has(self, resnet_state: dict[str, torch.Tensor]) -> None:
        partial = {name: value for name, value in resnet_state.items() if not name.startswith(("layer4", "fc"))}
        report = load_into(build("resnet50"), "resnet50", from_file(as_file(partial), "t.pth"), "file t.pth")
        assert "trunk.layer3.5.conv3" in report.loaded
        assert "trunk.layer4.0.conv1" in report.missing
        assert not any("layer4" in name for name in report.loaded)

    def test_of_a_full_file_a_network_that_ends_earlier_takes_what_it_has(
        self, resnet_state: dict[str, torch.Tensor]
    ) -> None:
        network = build("resnet50", "layer3")
        report = load_into(network, "resnet50", from_file(as_file(resnet_state), "r.pth"), "file r.pth")
        assert report.missing == ("head.linear", "trunk.even")
        assert {name.split(".")[0] for name in report.unexpected} == {"layer4", "fc"}

    def test_alexnet_takes_its_hidden_dense_layers_too(self) -> None:
        state = torchvision.models.alexnet().state_dict()
        network = build("alexnet")
        report = load_into(network, "alexnet", from_file(save(dict(state)), "a.safetensors"), "file a.safetensors")
        assert report.missing == ("head.2.6",)
        assert torch.equal(network.head[2][1].weight, state["classifier.1.weight"])

    def test_layers_of_another_shape_are_left_alone_and_reported(self, resnet_state: dict[str, torch.Tensor]) -> None:
        changed = resnet_state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}
        report = load_into(build("resnet50"), "resnet50", changed, "file x")
        assert "conv1" in report.unexpected
        assert "trunk.conv1" in report.missing

    def test_weights_of_another_network_are_refused(self, resnet_state: dict[str, torch.Tensor]) -> None:
        network: Network = "alexnet"
        with pytest.raises(WeightsUnavailable, match="not one layer"):
            load_into(build(network), network, resnet_state, "file r.pth")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of a weights file ran')",)


class TestFromFile:
    @pytest.mark.parametrize("wrap", [lambda s: {"state_dict": s}, lambda s: {f"module.{k}": v for k, v in s.items()}])
    def test_the_usual_wrappings_of_checkpoints_are_understood(self, wrap: object) -> None:
        state = {"conv1.weight": torch.ones(64, 3, 7, 7)}
        tensors = from_file(as_file(wrap(state)), "c.pth")  # type: ignore[operator]
        assert set(tensors) == {"conv1.weight"}

    @pytest.mark.parametrize(
        "data", [b"", b"not weights", pickle.dumps(Bomb()), as_file([1, 2]), as_file({"epoch": 3})]
    )
    def test_files_that_hold_no_weights_are_refused_without_running_them(self, data: bytes) -> None:
        with pytest.raises(WeightsUnavailable):
            from_file(data, "x.pth")


class TestDownload:
    def test_torchvisions_own_loader_takes_what_is_in_its_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = torchvision.models.alexnet().state_dict()
        cache = tmp_path / "hub" / "checkpoints"
        cache.mkdir(parents=True)
        url = torchvision.models.get_weight("AlexNet_Weights.IMAGENET1K_V1").url
        (cache / url.rpartition("/")[2]).write_bytes(as_file(state))
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        tensors, source = download("alexnet")
        assert "IMAGENET1K_V1" in source
        assert torch.equal(tensors["classifier.1.weight"], state["classifier.1.weight"])

    def test_weights_that_can_not_be_downloaded_are_an_error_with_the_two_ways_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreachable(*_: object, **__: object) -> None:
            raise URLError("no route")

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
        with pytest.raises(WeightsUnavailable, match=r"no route.*--weights.*--from-scratch"):
            download("resnet50")
