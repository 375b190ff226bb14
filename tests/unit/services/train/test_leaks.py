"""No pixel of a held-out patient reaches training by the honest protocol, in any variant; by the other many do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.augment.tasks import AUGMENT
from services.segment.tasks import SEGMENT
from services.train.data.inputs import RunImages, job_split, load_images
from services.train.jobs import parse_job
from shared.datasets.splits import Split
from shared.domain.films import Variant
from shared.domain.records import CLASSES
from shared.imaging.preprocess import Preprocessing
from shared.modelling.recipes import AugmentationRecipe
from shared.runs.plan import Plan
from tests.support.builders import do, ingested

FOLDS, REPEATS = 2, 2
STILL = AugmentationRecipe(name="still", variants=3, rotation_deg=0, shift=0, elastic=0, brightness=0.01, contrast=0.01)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, synthetic_films: Path) -> tuple[Plan, RunImages]:
    """Variants that are hardly told from their film, so that whatever leaks is seen."""
    store, plan = ingested(tmp_path_factory.mktemp("store"), synthetic_films)
    plan = plan.model_copy(update={"augmentation": STILL, "folds": FOLDS, "repeats": REPEATS})
    for shard in plan.names("augment"):
        do(AUGMENT, store, plan, shard)
        do(SEGMENT, store, plan, shard)
    images = load_images(store, plan, Preprocessing(size=64))
    return plan, replace(images, variants=tuple(relabelled(image) for image in images.variants))


def relabelled(image: Variant) -> Variant:
    """Labels in turn, two to a patient: the few patients are enough for two folds."""
    number = int(image.film.removeprefix("mdb"))
    return image.model_copy(update={"label": CLASSES[number % 3]})


def seen_in_training(run: tuple[Plan, RunImages], name: str, side: str) -> list[bool]:
    """For every image of one side, in all of its variants: whether a training image looks like it."""
    plan, images = run
    split: Split = job_split(images.variants, plan, parse_job(name))
    train = images.examples(split.train).inputs.reshape(len(split.train), -1)
    films = {images.variants[index].film for index in getattr(split, side)}
    others = [index for index, image in enumerate(images.variants) if image.film in films]
    return [bool((abs(train - images.inputs[index].ravel()).mean(axis=1) < 0.01).any()) for index in others]


class TestLeaks:
    @pytest.mark.parametrize("side", ["test", "validation"])
    @pytest.mark.parametrize("fold", range(FOLDS * REPEATS))
    def test_no_variant_of_a_held_out_film_reaches_training(
        self, run: tuple[Plan, RunImages], fold: int, side: str
    ) -> None:
        found = seen_in_training(run, f"resnet50/patient/fold-{fold}", side)
        assert len(found) >= 3
        assert not any(found)

    def test_under_the_published_protocol_most_held_out_images_have_a_copy_in_training(
        self, run: tuple[Plan, RunImages]
    ) -> None:
        assert np.mean(seen_in_training(run, "resnet50/paper/fold-0", "test")) > 0.5

    def test_every_division_holds_every_film_out_once_and_each_divides_anew(self, run: tuple[Plan, RunImages]) -> None:
        plan, images = run
        tests = [
            {
                images.variants[index].film
                for index in job_split(images.variants, plan, parse_job(f"resnet50/patient/fold-{f}")).test
            }
            for f in range(FOLDS * REPEATS)
        ]
        everything = {image.film for image in images.variants}
        assert tests[0] | tests[1] == tests[2] | tests[3] == everything
        assert not tests[0] & tests[1]
        assert tests[0] not in (tests[2], tests[3])
