"""Splits: the honest one keeps a patient on one side and augmented copies out of the test, the paper's leaks."""

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest

from shared.datasets.splits import Split, paper_split, patient_split
from shared.domain.films import Variant
from shared.domain.records import CLASSES, Label
from shared.errors import PlanError
from tests.support.builders import exam_manifest, small_manifest, variants_of

VARIANTS, FOLDS, SEED = 3, 4, 7


def images_of(labels: str) -> list[Variant]:
    """One letter of n, b and m for each film; two films a patient."""
    chosen = [{label.value[0]: label for label in CLASSES}[letter] for letter in labels]
    films = small_manifest(len(labels)).films
    relabelled = [film.model_copy(update={"label": label}) for film, label in zip(films, chosen, strict=True)]
    return [variant for film in relabelled for variant in variants_of(film, VARIANTS)]


IMAGES = [variant for film in small_manifest(64).films for variant in variants_of(film, VARIANTS)]


@pytest.fixture(scope="module", params=range(FOLDS))
def fold(request: pytest.FixtureRequest) -> Split:
    return patient_split(IMAGES, FOLDS, request.param, SEED)


def sides(split: Split) -> list[list[Variant]]:
    return [[IMAGES[index] for index in side] for side in (split.train, split.validation, split.test)]


FEW = ["nbbmmn", "nbmnbm", "nbbmmnnn", "nnbbmmnnbbmm", "nmnmnmnbnbnb", "mbmbmbnnnnnn", "mnmnmnbnbnbnnnnn"]


class TestPatientSplit:
    def test_no_patient_stands_on_two_sides(self, fold: Split) -> None:
        for one, other in combinations(sides(fold), 2):
            assert not {image.patient for image in one} & {image.patient for image in other}

    @pytest.mark.parametrize("held_out", range(FOLDS))
    def test_all_films_of_an_exam_stand_on_one_side(self, held_out: int) -> None:
        images = [variant for film in exam_manifest(32).films for variant in variants_of(film, VARIANTS)]
        split = patient_split(images, FOLDS, held_out, SEED)
        parts = [{images[index].patient for index in side} for side in (split.train, split.validation, split.test)]
        assert all(parts)
        for one, other in combinations(parts, 2):
            assert not one & other
        held = [images[index] for index in (*split.validation, *split.test)]
        assert Counter(image.patient for image in held) == Counter(
            film.patient for film in exam_manifest(32).films if film.patient in parts[1] | parts[2]
        )

    def test_every_patient_stands_on_one_side(self, fold: Split) -> None:
        assert {image.patient for side in sides(fold) for image in side} == {image.patient for image in IMAGES}

    def test_validation_and_test_are_whole_patients_without_augmented_images(self, fold: Split) -> None:
        for side in sides(fold)[1:]:
            assert {image.variant for image in side} == {0}
            assert set(Counter(image.patient for image in side).values()) == {2}

    def test_all_variants_of_the_training_patients_train(self, fold: Split) -> None:
        train = sides(fold)[0]
        patients = {image.patient for image in train}
        assert sorted(image.id for image in train) == sorted(image.id for image in IMAGES if image.patient in patients)
        assert len(train) == 2 * VARIANTS * len(patients)

    def test_every_class_is_on_every_side(self, fold: Split) -> None:
        for side in sides(fold):
            assert {image.label for image in side} == set(CLASSES)

    def test_over_all_folds_every_film_is_tested_once(self) -> None:
        tested = Counter(
            IMAGES[index].film for fold in range(FOLDS) for index in patient_split(IMAGES, FOLDS, fold, SEED).test
        )
        assert tested == {image.film: 1 for image in IMAGES}

    def test_test_folds_are_stratified(self) -> None:
        for fold in range(FOLDS):
            count = Counter(IMAGES[index].label for index in patient_split(IMAGES, FOLDS, fold, SEED).test)
            assert count[Label.NORMAL] / count.total() == pytest.approx(0.5, abs=0.15)

    def test_test_folds_are_stratified_by_density_as_well(self) -> None:
        films = small_manifest(240).films
        mixed = [film.model_copy(update={"density": "FGD"[number // 2 % 7 % 3]}) for number, film in enumerate(films)]
        images = [variants_of(film, 1)[0] for film in mixed]
        everywhere = Counter((image.label, image.density) for image in images)
        for fold in range(FOLDS):
            here = Counter(
                (images[index].label, images[index].density) for index in patient_split(images, FOLDS, fold, 1).test
            )
            for stratum, count in everywhere.items():
                assert abs(here[stratum] - count / FOLDS) <= 2.5, (fold, stratum)

    def test_the_order_of_variants_does_not_matter_to_who_is_held_out(self) -> None:
        backwards = IMAGES[::-1]
        split = patient_split(backwards, FOLDS, 0, SEED)
        assert all(backwards[index].variant == 0 for index in split.test)
        train, test = ({backwards[index].patient for index in side} for side in (split.train, split.test))
        assert not train & test

    @pytest.mark.parametrize("labels", ["nnnnnnbbbbbbmm", "nnnnnnbbbbbb", "nbnbnbnbnbmn"])
    def test_too_few_patients_of_a_class_are_refused(self, labels: str) -> None:
        with pytest.raises(PlanError, match=r"[01] patients have a film that is malignant, too few .* 2 folds"):
            patient_split(images_of(labels), 2, 0, SEED)

    @pytest.mark.parametrize(
        "images", [images_of(labels) for labels in FEW] + [IMAGES[: 16 * VARIANTS]], ids=[*FEW, "16"]
    )
    def test_few_patients_make_three_sides_and_train_every_class_or_are_refused(self, images: list[Variant]) -> None:
        for seed, fold in product(range(6), range(2)):
            try:
                split = patient_split(images, 2, fold, seed)
            except PlanError:
                continue
            assert {images[index].label for index in split.train} == set(CLASSES), (seed, fold)
            assert len(split.validation) > 0
            assert len(split.test) > 0


def split_of(protocol: str, seed: int) -> Split:
    return patient_split(IMAGES, FOLDS, 1, seed) if protocol == "patient" else paper_split(IMAGES, seed)


def same(one: Split, other: Split) -> bool:
    return all(
        np.array_equal(a, b)
        for a, b in ((one.train, other.train), (one.validation, other.validation), (one.test, other.test))
    )


class TestPaperSplit:
    @pytest.mark.parametrize("protocol", ["patient", "paper"])
    def test_the_seed_decides(self, protocol: str) -> None:
        assert same(split_of(protocol, 1), split_of(protocol, 1))
        assert not same(split_of(protocol, 1), split_of(protocol, 2))

    @pytest.mark.parametrize("protocol", ["patient", "paper"])
    def test_no_image_stands_on_two_sides(self, protocol: str) -> None:
        split = split_of(protocol, SEED)
        together = np.concatenate([split.train, split.validation, split.test])
        assert len(np.unique(together)) == len(together)

    def test_the_paper_takes_70_15_and_15_percent_of_all_images(self) -> None:
        split = paper_split(IMAGES, SEED)
        parts = [len(side) / len(IMAGES) for side in (split.train, split.validation, split.test)]
        assert parts == pytest.approx([0.7, 0.15, 0.15], abs=0.01)
        assert sum(len(side) for side in (split.train, split.validation, split.test)) == len(IMAGES)

    def test_the_paper_tests_on_augmented_images(self) -> None:
        for side in sides(paper_split(IMAGES, SEED)):
            assert {image.variant for image in side} == set(range(VARIANTS))

    def test_the_paper_leaks_most_tested_films_into_training(self) -> None:
        train, _, test = sides(paper_split(IMAGES, SEED))
        tested = {image.film for image in test}
        assert len(tested & {image.film for image in train}) > len(tested) / 2

    def test_the_paper_is_stratified(self) -> None:
        for side in sides(paper_split(IMAGES, SEED)):
            count = Counter(image.label for image in side)
            assert count[Label.NORMAL] / count.total() == pytest.approx(0.5, abs=0.05)

    def test_the_paper_refuses_a_class_with_too_few_images(self) -> None:
        images = [image for image in images_of("nnnnnnnnbbbbm") if image.variant == 0]
        with pytest.raises(PlanError):
            paper_split(images, SEED)
