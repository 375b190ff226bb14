"""The distribution of the training films' traits for the card, with which inference detects drift."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from services.train.data.inputs import READERS, load_images, read_segmented
from services.train.data.run_split import run_split
from services.train.jobs import JobResult
from services.train.publishing.sample import drawn
from shared.domain.films import Variant
from shared.imaging.preprocess import Preprocessing
from shared.modelling.drift import MIN_FILMS, InputDistribution, TraitsOfFilm, distribution, traits_of
from shared.runs.plan import Plan
from shared.store.interface import ObjectStore

_MOST_FILMS = 2_000
"""Films that are measured, drawn from all: each has to be read and decoded, and deciles need no more."""


def training_films(store: ObjectStore, plan: Plan, best: JobResult) -> list[Variant]:
    """Return the films that the published weights were trained on, without augmented copies."""
    images = load_images(store, plan, Preprocessing(size=best.input_size))
    split = run_split(store, plan, best.job, images)
    return [images.variants[index] for index in images.originals(split.train)]


def training_inputs(store: ObjectStore, films: Sequence[Variant]) -> InputDistribution | None:
    """Return the distribution of the films' traits; None for fewer than MIN_FILMS films."""
    if len(films) < MIN_FILMS:
        return None

    def measure(variant: Variant) -> TraitsOfFilm:
        film, mask = read_segmented(store, variant)
        return traits_of(film.pixels, mask, film.bits)

    measured = [films[number] for number in drawn(np.zeros(len(films), np.int64), _MOST_FILMS)]
    with ThreadPoolExecutor(READERS) as readers:
        return distribution(list(readers.map(measure, measured)))
