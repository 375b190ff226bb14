"""Splits: the honest one keeps a patient on one side and augmented copies out of the test, the paper's leaks."""

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest

from shared.datasets.splits import Split, divided_officially, official_split, paper_split, patient_split
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

    @pytest.mark.parametrize("labels", ["nnnnnnbbbbbbmm", "nbnbnbnbnbmn"])
    def test_too_few_patients_of_a_class_are_refused(self, labels: str) -> None:
        with pytest.raises(PlanError, match=r"1 patients have a film that is malignant, too few .* 2 folds"):
            patient_split(images_of(labels), 2, 0, SEED)

    def test_a_data_set_of_two_classes_is_divided_with_both_on_every_side(self) -> None:
        images = images_of("nnmm" * 8)
        for held_out in range(3):
            split = patient_split(images, 3, held_out, SEED)
            for side in (split.train, split.validation, split.test):
                assert {images[index].label for index in side} == {Label.NORMAL, Label.MALIGNANT}

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


def official_images(*, both: str = "p003", unplaced: str = "mdb009") -> list[Variant]:
    """Every third patient is of the data set's test; one patient has a film on either side, one film is on neither."""
    images = []
    for image in IMAGES:
        side = "test" if int(image.patient.removeprefix("p")) % 3 == 0 else "training"
        if image.patient == both and int(image.film.removeprefix("mdb")) % 2 == 0:
            side = "training"
        changes = {"official_split": None if image.film == unplaced else side}
        images.append(image.model_copy(update=changes))
    return images


@pytest.fixture(scope="module", params=range(FOLDS))
def parts(request: pytest.FixtureRequest) -> list[list[Variant]]:
    """Training, validation and test of a fold of the official division."""
    images = official_images()
    split = official_split(images, FOLDS, request.param, SEED)
    return [[images[index] for index in side] for side in (split.train, split.validation, split.test)]


class TestOfficialSplit:
    def test_the_test_is_that_of_the_data_set_in_every_fold(self, parts: list[list[Variant]]) -> None:
        train, validation, test = parts
        wanted = {
            image.film for image in official_images() if image.official_split == "test" and image.patient != "p003"
        }
        assert sorted(image.film for image in test) == sorted(wanted)
        assert {image.official_split for image in train + validation} == {"training"}

    def test_no_patient_stands_on_two_sides(self, parts: list[list[Variant]]) -> None:
        for one, other in combinations(parts, 2):
            assert one
            assert not {image.patient for image in one} & {image.patient for image in other}

    def test_patients_on_both_sides_and_films_on_neither_are_nowhere(self, parts: list[list[Variant]]) -> None:
        used = [image for part in parts for image in part]
        assert "p003" not in {image.patient for image in used}
        assert "mdb009" not in {image.film for image in used}

    def test_what_is_left_out_is_reported(self) -> None:
        division = divided_officially(official_images())
        assert set(division.both_sides) == {"p003"}
        assert set(division.unplaced) == {"mdb009"}
        assert len(division.training) + len(division.test) == 64 - 2 - 1

    def test_held_out_films_are_not_augmented_and_training_films_are(self, parts: list[list[Variant]]) -> None:
        assert {image.variant for image in parts[1] + parts[2]} == {0}
        assert Counter(image.variant for image in parts[0]) == dict.fromkeys(range(VARIANTS), len(parts[0]) // VARIANTS)

    def test_over_all_folds_each_film_outside_the_test_validates_once(self) -> None:
        images = official_images()
        films = Counter(
            images[index].film
            for fold in range(FOLDS)
            for index in official_split(images, FOLDS, fold, SEED).validation
        )
        assert films == dict.fromkeys(divided_officially(images).training, 1)

    def test_a_data_set_without_a_division_of_its_own_is_refused(self) -> None:
        with pytest.raises(PlanError, match="no training and test films of its own; use the protocol patient"):
            official_split(IMAGES, FOLDS, 0, SEED)


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
