"""What the training films look like, for the card: a service that sees others can tell."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from services.train.data import job_split, load_images
from services.train.jobs import JobResult
from shared.datasets.manifest import Variant
from shared.imaging.decode import decode
from shared.imaging.preprocess import Preprocessing
from shared.modelling.drift import MIN_FILMS, InputDistribution, TraitsOfFilm, distribution, traits_of
from shared.queue.plan import Plan
from shared.store.objects import ObjectStore

_READERS = 4


def training_inputs(store: ObjectStore, plan: Plan, best: JobResult) -> InputDistribution | None:
    """Of the films themselves, not of their variants, that the published weights were trained on; None where these are
    too few to tell."""
    variants = load_images(store, plan, Preprocessing(size=best.input_size)).variants
    split = job_split(variants, plan, best.job)
    films = [variants[index] for index in split.train if variants[index].variant == 0]
    if len(films) < MIN_FILMS:
        return None

    def look(variant: Variant) -> TraitsOfFilm:
        film, mask = (decode(store.get(key)) for key in (variant.key, variant.mask_key or ""))
        return traits_of(film.pixels, mask.pixels.astype(np.uint8, copy=False), film.bits)

    with ThreadPoolExecutor(_READERS) as readers:
        return distribution(list(readers.map(look, films)))
