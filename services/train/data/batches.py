"""Batches of a training job on its device: shuffled, shared among processes and jittered.

All random choices follow from the seed, the epoch and the number of the batch, so that a resumed job makes the same
ones.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from services.train.data.device import Indices, input_loader
from services.train.data.examples import Examples
from services.train.data.jitter import apply_jitter, draw_jitter
from services.train.data.process_group import ProcessGroup
from shared.domain.arrays import Float32Array, Int64Array
from shared.domain.records import CLASSES
from shared.modelling.recipes import TrainingRecipe


@dataclass(frozen=True)
class MiniBatch:
    """This process's share of a batch, on the device.

    `films` are float32 n x C x S x S, `labels` int64 n, `place_labels` int64 n x h x w. `weight` is that of the whole
    batch: the sum of the class weights of its images.
    """

    films: Tensor
    labels: Tensor
    place_labels: Tensor | None
    weight: float


class BatchLoader:
    """All batches of a job; `class_weights` (float32 3, on the device) make every class count the same."""

    def __init__(
        self, examples: Examples, recipe: TrainingRecipe, seed: int, device: torch.device, group: ProcessGroup
    ) -> None:
        weights = class_weights(examples.labels)
        self.class_weights = torch.from_numpy(weights).to(device)
        self._orders = _orders(len(examples.labels), recipe, seed, least=2 * group.size)
        self._examples, self._jitter, self._seed, self._group = examples, recipe.jitter, seed, group
        self._load_inputs = input_loader(examples.read, len(examples.labels), device)
        self._labels = torch.from_numpy(examples.labels).to(device)
        self._image_weights = weights[examples.labels]

    @property
    def batches(self) -> int:
        """The number of batches in an epoch."""
        return len(self._orders[0])

    def load(self, epoch: int, number: int) -> MiniBatch:
        """Load this process's share of a batch, and seed torch for its dropout.

        Epochs count from 1, batches from 0.
        """
        batch = self._orders[epoch - 1][number]
        own = self._group.own_indices(len(batch))
        jitter = draw_jitter(self._jitter, len(batch), (self._seed, epoch, number)).select(own)
        seed = np.random.SeedSequence((self._seed, epoch, number, self._group.rank)).generate_state(1)
        torch.manual_seed(int(seed[0]))
        films = apply_jitter(self._load_inputs(batch[own]), jitter)
        labels = self._labels[torch.from_numpy(batch[own]).to(films.device)]
        places = self._examples.read_place_labels(batch[own])
        place_labels = None if places is None else torch.from_numpy(places).to(films.device, torch.int64)
        return MiniBatch(films, labels, place_labels, float(self._image_weights[batch].sum()))


def class_weights(labels: Int64Array) -> Float32Array:
    """Return inverse class frequencies (float32 3), scaled to mean 1 over the images."""
    counts = np.bincount(labels, minlength=len(CLASSES))
    return (len(labels) / (len(CLASSES) * np.maximum(counts, 1))).astype(np.float32)


def _orders(images: int, recipe: TrainingRecipe, seed: int, least: int) -> list[list[Indices]]:
    """Shuffle the images of every epoch and cut them into batches; drop a last batch of fewer than `least` images."""
    shuffle = np.random.default_rng(seed)
    starts = range(0, images, recipe.batch_size)
    if len(starts) > 1 and images - starts[-1] < least:
        starts = starts[:-1]  # batch norm needs more than one image
    orders = [shuffle.permutation(images) for _ in range(recipe.epochs)]
    return [[order[start : start + recipe.batch_size] for start in starts] for order in orders]
