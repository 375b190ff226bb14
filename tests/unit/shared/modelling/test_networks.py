"""The three networks: shapes, what their docstrings claim, and the log-mean-exp over places."""

from shared.modelling import torchvision_cpu  # noqa: F401  must come before torchvision

# isort: split

import re

import pytest
import torch
import torchvision

from shared.modelling import networks
from shared.modelling.network_table import NETWORK_TABLE, NETWORKS, Network
from shared.modelling.networks import PlacesHead, build, head_layers, map_edge, parameter_count, trained


class TestHeadLayers:
    @pytest.mark.parametrize("name", [name for name in NETWORKS if NETWORK_TABLE[name].explainable])
    def test_the_logits_are_the_log_mean_exp_of_the_places_odds_against_normal(self, name: Network) -> None:
        network = build(name).eval()
        with torch.inference_mode():
            logits, features = network(torch.rand(2, 1, 64, 64))
            places = head_layers(network)(features.permute(0, 2, 3, 1))
        odds = (places - places[..., :1]).exp()
        assert torch.allclose(logits, odds.mean(dim=(1, 2)).log(), atol=1e-4)


class TestPlacesHead:
    def test_one_place_that_stands_out_decides_and_places_that_agree_are_averaged(self) -> None:
        head = PlacesHead(1).eval()
        with torch.no_grad():
            head.linear.weight[:] = torch.tensor([[0.0], [0.0], [1.0]])
            head.linear.bias.zero_()
            features = torch.full((1, 1, 10, 10), 0.5)
            assert head(features)[0].tolist() == pytest.approx([0, 0, 0.5], abs=1e-5)
            features[0, 0, 3, 7] = 20.0
            assert head(features)[0, 2].item() > 15

    def test_a_film_is_not_the_more_normal_for_one_place_that_is_most_normal(self) -> None:
        head = PlacesHead(1).eval()
        with torch.no_grad():
            head.linear.weight[:] = torch.tensor([[1.0], [0.0], [0.0]])
            head.linear.bias.zero_()
            features = torch.full((1, 1, 10, 10), 0.5)
            before = head(features).softmax(1)[0, 0].item()
            features[0, 0, 3, 7] = 20.0
            assert head(features).softmax(1)[0, 0].item() == pytest.approx(before, abs=0.01)


class TestParameterCount:
    def test_the_modified_cnn_is_as_its_docstring_says(self) -> None:
        documented = re.search(r"([\d.]+) million weights", networks._modified_cnn.__doc__ or "")
        assert documented
        network = build("modified_cnn")
        assert parameter_count(network) == pytest.approx(float(documented[1]) * 1e6, rel=0.05)
        with torch.inference_mode():
            assert network(torch.rand(1, 1, 128, 128))[1].shape == (1, 192, 8, 8)


class TestMapEdge:
    def test_resnet_may_end_at_layer3_whose_places_are_twice_as_fine(self) -> None:
        network = build("resnet50", "layer3")
        assert map_edge(network, 128) == 2 * map_edge(build("resnet50"), 128) == 8
        assert head_layers(network).in_features == 1024
        network.train()
        for _ in range(50):
            _, features = network(torch.rand(4, 1, 64, 64))
        assert torch.allclose(features.std((0, 2, 3)), torch.ones(1024), atol=0.05)

    @pytest.mark.parametrize(("name", "edge"), [("modified_cnn", 8), ("resnet50", 4)])
    def test_the_edge_of_a_feature_map_is_told_without_a_film(self, name: Network, edge: int) -> None:
        assert map_edge(build(name), 128) == edge


class TestTrained:
    def test_weights_of_the_paper_have_their_strides_in_the_first_convolution_of_a_stage(self) -> None:
        torch.manual_seed(2)
        network = build("resnet50", "layer3", "1x1")
        first = network.trunk.layer3[0]
        assert (first.conv1.stride, first.conv2.stride) == ((2, 2), (1, 1))
        same = trained("resnet50", network.state_dict())
        films = torch.rand(1, 1, 64, 64)
        with torch.inference_mode():
            assert torch.equal(same(films)[0], network.eval()(films)[0])
            other = build("resnet50", "layer3")
            other.load_state_dict(network.state_dict(), strict=False)
            assert not torch.allclose(same(films)[0], other.eval()(films)[0])


class TestBuild:
    @pytest.mark.parametrize("name", NETWORKS)
    @pytest.mark.parametrize("size", [64, 96])
    def test_films_of_any_size_give_three_logits_and_a_feature_map(self, name: Network, size: int) -> None:
        network = build(name).eval()
        with torch.inference_mode():
            logits, features = network(torch.rand(2, 1, size, size))
        assert logits.shape == (2, 3)
        assert features.ndim == 4
        assert features.shape[0] == 2

    def test_transfer_networks_are_torchvisions_but_for_the_last_layer(self) -> None:
        for name, reference in (("alexnet", torchvision.models.alexnet()), ("resnet50", torchvision.models.resnet50())):
            ours, theirs = build(name), list(reference.parameters())
            shapes = [tuple(p.shape) for p in ours.parameters()]
            assert shapes[:-2] == [tuple(p.shape) for p in theirs][:-2]
            assert shapes[-2:] == [(3, theirs[-2].shape[1]), (3,)]

    def test_grey_films_are_normalised_as_imagenet_weights_expect(self) -> None:
        network = build("resnet50")
        seen = []
        network.trunk.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        network.eval()(torch.full((1, 1, 64, 64), 0.5))
        expected = [(0.5 - m) / d for m, d in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
        assert torch.allclose(seen[0][0, :, 0, 0], torch.tensor(expected), atol=1e-6)

    def test_alexnet_from_scratch_does_not_let_the_signal_fade(self) -> None:
        torch.manual_seed(4)
        network = build("alexnet").eval()
        with torch.inference_mode():
            logits = network((torch.rand(16, 1, 112, 112) - 0.5) * torch.linspace(0.2, 2, 16).view(-1, 1, 1, 1) + 0.5)[
                0
            ]
        assert logits.std(0).min() > 0.05
