"""The batches of a training job, where its network computes: drawn from the seed, shared out to ranks, jittered.

All that is drawn follows from the seed, the epoch and the batch, so that a job that goes on after an interruption draws
the same, whatever it has drawn before.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.train.data.device import Indices, Inputs, supply
from services.train.data.jitter import draw, jittered
from services.train.data.lesion_targets import Places
from services.train.data.process_group import Ranks
from shared.domain.arrays import Float32Array
from shared.domain.records import CLASSES
from shared.modelling.recipes import TrainingRecipe


class Labelled(Protocol):
    """Examples: the index of each one's class (n), the inputs of some (m x C x S x S) by their numbers, and what is
    known of the places of their feature maps (int8 m x h x w)."""

    @property
    def labels(self) -> npt.NDArray[np.int64]: ...

    def batch(self, chosen: Indices, /) -> Inputs: ...

    def places_of(self, chosen: Indices, /) -> Places | None: ...


@dataclass(frozen=True)
class Batch:
    """A rank's share of a batch, on the device: films (float32 n x C x S x S), labels (int64 n), and what is known of
    the places of their feature maps (int64 n x h x w).

    `weight` is that of the whole batch: the sum of its images' class weights.
    """

    films: Tensor
    labels: Tensor
    places: Tensor | None
    weight: float


class Feed:
    """All batches of a job. Classes weigh as much as each other, however rare they are (`weights`, float32 3)."""

    def __init__(
        self, examples: Labelled, recipe: TrainingRecipe, seed: int, device: torch.device, ranks: Ranks
    ) -> None:
        self.weights = torch.from_numpy(class_weights(examples.labels)).to(device)
        self._orders = _orders(len(examples.labels), recipe, seed, least=2 * ranks.count)
        self._examples, self._jitter, self._seed, self._ranks = examples, recipe.jitter, seed, ranks
        self._inputs = supply(examples.batch, len(examples.labels), device)
        self._labels = torch.from_numpy(examples.labels).to(device)
        self._weighed = class_weights(examples.labels)[examples.labels]

    @property
    def batches(self) -> int:
        """Of an epoch."""
        return len(self._orders[0])

    def batch(self, epoch: int, number: int) -> Batch:
        """This rank's share; epochs count from 1, batches from 0. Also seeds torch for the dropout of that batch."""
        chosen = self._orders[epoch - 1][number]
        own = self._ranks.share(len(chosen))
        draws = draw(self._jitter, len(chosen), (self._seed, epoch, number)).of(own)
        seed = np.random.SeedSequence((self._seed, epoch, number, self._ranks.rank)).generate_state(1)
        torch.manual_seed(int(seed[0]))
        films = jittered(self._inputs(chosen[own]), draws)
        labels = self._labels[torch.from_numpy(chosen[own]).to(films.device)]
        places = self._examples.places_of(chosen[own])
        known = None if places is None else torch.from_numpy(places).to(films.device, torch.int64)
        return Batch(films, labels, known, float(self._weighed[chosen].sum()))


def class_weights(labels: npt.NDArray[np.int64]) -> Float32Array:
    """Inverse frequencies with mean 1 over the images, so that rare classes weigh as much as frequent ones."""
    counts = np.bincount(labels, minlength=len(CLASSES))
    return (len(labels) / (len(CLASSES) * np.maximum(counts, 1))).astype(np.float32)


def _orders(images: int, recipe: TrainingRecipe, seed: int, least: int) -> list[list[Indices]]:
    """For every epoch the indices of every batch."""
    shuffle = np.random.default_rng(seed)
    firsts = range(0, images, recipe.batch_size)
    if len(firsts) > 1 and images - firsts[-1] < least:
        firsts = firsts[:-1]  # batch norm can't learn from a single image
    orders = [shuffle.permutation(images) for _ in range(recipe.epochs)]
    return [[order[first : first + recipe.batch_size] for first in firsts] for order in orders]
