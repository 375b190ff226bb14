"""What the training films look like, for the card: a service that sees others can tell."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from services.train.data.inputs import READERS, job_split, load_images, read_segmented
from services.train.jobs import JobResult
from shared.domain.films import Variant
from shared.imaging.preprocess import Preprocessing
from shared.modelling.drift import MIN_FILMS, InputDistribution, TraitsOfFilm, distribution, traits_of
from shared.runs.plan import Plan
from shared.store.interface import ObjectStore


def training_films(store: ObjectStore, plan: Plan, best: JobResult) -> list[Variant]:
    """Return the films that the published weights were trained on: the films themselves, without augmented copies."""
    variants = load_images(store, plan, Preprocessing(size=best.input_size)).variants
    split = job_split(variants, plan, best.job)
    return [variants[index] for index in split.train if variants[index].variant == 0]


def training_inputs(store: ObjectStore, films: Sequence[Variant]) -> InputDistribution | None:
    """Return the distribution of what `films` look like; None where they are too few to tell."""
    if len(films) < MIN_FILMS:
        return None

    def look(variant: Variant) -> TraitsOfFilm:
        film, mask = read_segmented(store, variant)
        return traits_of(film.pixels, mask, film.bits)

    with ThreadPoolExecutor(READERS) as readers:
        return distribution(list(readers.map(look, films)))
