"""Probabilities after training with weighted classes."""

import numpy as np
import pytest
import torch

from services.train.data.batches import class_weights
from services.train.fitting.prior_correction import restore_class_priors
from shared.modelling.network_table import NETWORKS, Network
from shared.modelling.networks import build


class TestRestoreClassPriors:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_each_class_is_as_much_less_likely_as_it_weighed_more(self, name: Network) -> None:
        torch.manual_seed(5)
        network, films = build(name).eval(), torch.rand(2, 1, 64, 64)
        weights = class_weights(np.array([0] * 13 + [1] * 4 + [2] * 3))
        with torch.inference_mode():
            before = network(films)[0].softmax(1)
        restore_class_priors(network, weights)
        with torch.inference_mode():
            after = network(films)[0].softmax(1)
        expected = before / torch.from_numpy(weights)
        assert torch.allclose(after, expected / expected.sum(1, keepdim=True), atol=1e-5)

    def test_a_network_that_learned_nothing_gives_the_shares_of_the_training_films(self) -> None:
        network, labels = build("modified_cnn").eval(), np.array([0] * 6 + [1] * 3 + [2])
        with torch.no_grad():
            for parameter in network.head.parameters():
                parameter.zero_()
        restore_class_priors(network, class_weights(labels))
        with torch.inference_mode():
            (row,) = network(torch.rand(1, 1, 64, 64))[0].softmax(1).tolist()
        assert row == pytest.approx([0.6, 0.3, 0.1])
