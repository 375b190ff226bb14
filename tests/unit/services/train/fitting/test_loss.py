"""The loss of places: classes count the same, and unknown places do not count."""

import math

import numpy as np
import pytest
import torch

from services.train.data.lesion_targets import UNKNOWN
from services.train.fitting.loss import place_losses

EVEN = torch.ones(3)


class TestPlaceLosses:
    def test_each_class_of_a_film_weighs_as_much_however_few_its_places_are(self) -> None:
        places = torch.zeros(1, 4, 4, dtype=torch.int64)
        places[0, 0, 0] = 2
        even = place_losses(torch.zeros(1, 4, 4, 3), places, EVEN)
        assert even.item() == pytest.approx(2 * math.log(3))
        weighted = place_losses(torch.zeros(1, 4, 4, 3), places, torch.tensor([1.0, 1.0, 3.0]))
        assert weighted.item() == pytest.approx(4 * math.log(3))

    def test_places_of_which_nothing_is_known_have_no_say(self) -> None:
        places = torch.full((2, 4, 4), UNKNOWN)
        places[1, 2, 2] = 0
        logits = torch.zeros(2, 4, 4, 3, requires_grad=True)
        losses = place_losses(logits, places, EVEN)
        assert losses.tolist() == pytest.approx([0, math.log(3)])
        losses.sum().backward()
        assert logits.grad is not None
        assert set(map(tuple, np.argwhere(logits.grad.abs().sum(-1).numpy()).tolist())) == {(1, 2, 2)}
