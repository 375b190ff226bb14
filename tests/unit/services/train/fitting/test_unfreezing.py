"""The stages of pretrained networks, from the top down: when each begins to learn, and at what rate."""

import pytest
from torch import nn

from services.train.fitting.optimiser import adamw, learning_rate_factor, set_learning_rates
from services.train.fitting.unfreezing import set_trainable, unfreezing_stages
from shared.modelling.network_table import NETWORKS, Network
from shared.modelling.networks import MammogramNetwork, build
from shared.modelling.recipes import TrainingRecipe

RECIPE = TrainingRecipe(input_size=64, epochs=9, head_epochs=1, stage_epochs=2, trunk_rate=0.1, stage_rate=0.5)


def names(network: MammogramNetwork) -> list[list[str]]:
    known = {module: name for name, module in network.named_modules()}
    return [[known[layer] for layer in stage] for stage in unfreezing_stages(network)]


def learning(network: MammogramNetwork) -> set[str]:
    """The children of trunk and head that learn."""
    return {".".join(name.split(".")[:2]) for name, weights in network.named_parameters() if weights.requires_grad}


class TestUnfreezingStages:
    def test_resnet50_has_its_four_stages_and_its_stem(self) -> None:
        assert names(build("resnet50")) == [
            ["trunk.layer4"], ["trunk.layer3"], ["trunk.layer2"], ["trunk.layer1"], ["trunk.bn1", "trunk.conv1"]
        ]  # fmt: skip

    def test_alexnets_hidden_dense_layers_are_the_stage_above_its_convolutions(self) -> None:
        first, *convolutions = names(build("alexnet"))
        assert first == ["head.2.1", "head.2.4"]
        assert convolutions == [["trunk.10"], ["trunk.8"], ["trunk.6"], ["trunk.3"], ["trunk.0"]]

    @pytest.mark.parametrize("kind", NETWORKS)
    def test_stages_and_last_layer_are_the_whole_network(self, kind: Network) -> None:
        network = build(kind)
        found = [weights for stage in unfreezing_stages(network) for layer in stage for weights in layer.parameters()]
        assert len(found) + 2 == len(list(network.parameters()))
        assert len(set(found)) == len(found)


class TestSetTrainable:
    def test_one_stage_after_the_other_begins_to_learn_from_the_top(self) -> None:
        network = build("resnet50")
        seen = {}
        for epoch in range(1, 11):
            set_trainable(network, RECIPE, epoch, pretrained=True)
            seen[epoch] = {name.removeprefix("trunk.") for name in learning(network) if name.startswith("trunk")}
            assert "head.linear" in learning(network)
        assert seen[1] == set()
        assert seen[2] == seen[3] == {"layer4"}
        assert seen[4] == seen[5] == {"layer4", "layer3"}
        assert seen[8] == {"layer4", "layer3", "layer2", "layer1"}
        assert seen[10] == {"layer4", "layer3", "layer2", "layer1", "conv1", "bn1"}

    def test_batch_norms_of_a_frozen_stage_keep_their_statistics_and_those_above_learn_theirs(self) -> None:
        network = build("resnet50")
        set_trainable(network, RECIPE, 4, pretrained=True)
        training = {
            name.split(".")[1]: layer.training
            for name, layer in network.named_modules()
            if isinstance(layer, nn.BatchNorm2d)
        }
        assert training == {"bn1": False, "layer1": False, "layer2": False, "layer3": True, "layer4": True}

    def test_a_network_from_scratch_learns_as_a_whole_at_one_rate(self) -> None:
        network = build("modified_cnn")
        set_trainable(network, RECIPE, 1, pretrained=False)
        assert all(weights.requires_grad for weights in network.parameters())
        assert {group["full_rate"] for group in adamw(network, RECIPE, pretrained=False).param_groups} == {1e-3}

    def test_rates_fall_from_stage_to_stage(self) -> None:
        network = build("resnet50")
        optimiser = adamw(network, RECIPE, pretrained=True)
        set_learning_rates(optimiser, 0.5)
        rates = {weights: group["lr"] for group in optimiser.param_groups for weights in group["params"]}
        assert len(rates) == len(list(network.parameters()))
        of = dict(network.named_parameters())
        for name, rate in {
            "head.linear.bias": 5e-4, "trunk.layer4.0.conv1.weight": 5e-5, "trunk.layer3.0.conv1.weight": 2.5e-5,
            "trunk.bn1.bias": 5e-5 / 16, "trunk.conv1.weight": 5e-5 / 16,
        }.items():  # fmt: skip
            assert rates[of[name]] == pytest.approx(rate)

    def test_rates_rise_and_then_fall_to_nothing(self) -> None:
        parts = [learning_rate_factor(step, 100) for step in range(101)]
        assert parts[:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
        assert parts[10:] == sorted(parts[10:], reverse=True)
        assert parts[100] == pytest.approx(0)
