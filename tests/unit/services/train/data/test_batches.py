"""Batches follow from the seed, the epoch and their number alone, and ranks share them out without rest or overlap."""

import numpy as np
import pytest
import torch

from services.train.data.batches import BatchLoader, class_weights
from services.train.data.examples import Examples
from services.train.data.process_group import SINGLE_PROCESS, ProcessGroup
from shared.modelling.recipes import Jitter, TrainingRecipe

RECIPE = TrainingRecipe(input_size=64, epochs=2, batch_size=8)


def feed(
    images: int = 29, group: ProcessGroup = SINGLE_PROCESS, seed: int = 3, recipe: TrainingRecipe = RECIPE
) -> BatchLoader:
    """The pixels of each image are its number."""
    inputs = np.broadcast_to(np.arange(images, dtype=np.float32).reshape(-1, 1, 1, 1), (images, 1, 4, 4))
    labels = np.arange(images, dtype=np.int64) % 7 % 3
    return BatchLoader(Examples(np.ascontiguousarray(inputs), labels), recipe, seed, torch.device("cpu"), group)


def numbers(fed: BatchLoader, epoch: int, batch: int) -> list[int]:
    return [int(number) for number in fed.load(epoch, batch).films[:, 0, 0, 0]]


class TestBatchLoader:
    def test_every_image_comes_once_an_epoch_in_another_order_each_time(self) -> None:
        fed = feed()
        assert fed.batches == 4
        orders = [[number for batch in range(4) for number in numbers(fed, epoch, batch)] for epoch in (1, 2)]
        assert sorted(orders[0]) == sorted(orders[1]) == list(range(29))
        assert orders[0] != orders[1]

    def test_a_batch_is_the_same_whatever_came_before_it(self) -> None:
        jittery = RECIPE.model_copy(update={"jitter": Jitter(brightness=0.5, shift=0.2)})
        walked = feed(recipe=jittery)
        for batch in range(3):
            walked.load(1, batch)
        one, drawn = walked.load(2, 1), torch.rand(3)
        other, again = feed(recipe=jittery).load(2, 1), torch.rand(3)
        assert torch.equal(one.films, other.films)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(drawn, again), "dropout draws the same too"
        assert not torch.equal(one.films, feed(recipe=jittery, seed=4).load(2, 1).films)

    def test_ranks_drop_different_units_out(self) -> None:
        drawn = []
        for rank in (0, 1):
            feed(group=ProcessGroup(rank, 2)).load(1, 0)
            drawn.append(torch.rand(8))
        assert not torch.equal(*drawn)

    @pytest.mark.parametrize(
        ("images", "ranks", "batches"), [(24, 1, 3), (25, 1, 3), (26, 1, 4), (27, 2, 3), (28, 2, 4)]
    )
    def test_a_last_batch_with_less_than_two_images_for_each_rank_is_left_out(
        self, images: int, ranks: int, batches: int
    ) -> None:
        assert feed(images, ProcessGroup(0, ranks)).batches == batches

    def test_an_only_batch_is_kept_however_small_it_is(self) -> None:
        assert feed(1).batches == 1


class TestClassWeights:
    @pytest.mark.parametrize("batch", range(4))
    def test_ranks_share_a_batch_out_and_know_the_weight_of_the_whole(self, batch: int) -> None:
        whole, shares = feed(), [feed(group=ProcessGroup(rank, 2)) for rank in (0, 1)]
        first, second = (numbers(fed, 1, batch) for fed in shares)
        assert sorted(first + second) == sorted(numbers(whole, 1, batch))
        assert 0 <= len(first) - len(second) <= 1
        weights = class_weights(np.arange(29, dtype=np.int64) % 7 % 3)
        for fed in (whole, *shares):
            labels = whole.load(1, batch).labels
            assert fed.load(1, batch).weight == pytest.approx(float(weights[labels.numpy()].sum()))

    def test_each_class_weighs_as_much_as_the_others(self) -> None:
        labels = np.array([0] * 6 + [1] * 3 + [2])
        weights = class_weights(labels)
        assert np.bincount(labels, weights[labels]) == pytest.approx(10 / 3)
        assert weights[labels].mean() == pytest.approx(1)
        assert np.isfinite(class_weights(np.array([0, 0, 1]))).all()
