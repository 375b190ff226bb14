"""Split films into training, validation and test: by patient, as the data set itself divides them, or as published."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from shared.domain.films import Film, Variant, check_enough_patients, patients_by_label
from shared.errors import PlanError

_VALIDATION_PARTS = 5
SPLIT_VERSION = 2
"""Raised whenever the same seed divides the patients otherwise than before."""


@dataclass(frozen=True)
class Split:
    """Indices into the images of a data set; no index stands in two of the three."""

    train: npt.NDArray[np.intp]
    validation: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


def patient_split(images: Sequence[Variant], folds: int, fold: int, seed: int) -> Split:
    """Fold `fold` of `folds`, grouped by patient and stratified by label and density.

    All variants of the training patients' films train; validation and test are films as they are (variant 0), and no
    patient stands on two sides.

    Raises:
        PlanError: there are too few patients with one of the labels, or too few to choose the epoch by.
    """
    films = np.array([index for index, image in enumerate(images) if image.variant == 0])
    labels = np.array([images[index].label for index in films])
    patients = np.array([images[index].patient for index in films])
    check_enough_patients(patients_by_label(images), folds)
    strata = _strata(labels, np.array([images[index].density or "" for index in films]), folds)
    held_out = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(films, strata, patients))
    rest, test = held_out[fold]
    train, validation = _validation_part(labels[rest], patients[rest], seed + fold)
    training_patients = set(patients[rest][train])
    return Split(
        train=np.array([index for index, image in enumerate(images) if image.patient in training_patients]),
        validation=films[rest][validation],
        test=films[test],
    )


def official_split(images: Sequence[Variant], folds: int, fold: int, seed: int) -> Split:
    """Keep the data set's own test films for the test; fold `fold` of the other patients chooses the epoch.

    The rest of them trains, in all variants. Films of patients on both sides, and films on neither, are left out
    (`divided_officially`).

    Raises:
        PlanError: the data set has no division of its own, or one of its sides has too few patients.
    """
    division = divided_officially(images)
    films = np.array([n for n, image in enumerate(images) if image.variant == 0], np.intp)
    rest = np.array([n for n in films if images[n].film in division.training], np.intp)
    test = np.array([n for n in films if images[n].film in division.test], np.intp)
    if not len(rest) or not len(test):
        raise PlanError("the data set has no training and test films of its own; use the protocol patient")
    check_enough_patients(patients_by_label([images[n] for n in rest]), folds - 1)
    labels = np.array([images[n].label for n in rest])
    patients = np.array([images[n].patient for n in rest])
    strata = _strata(labels, np.array([images[n].density or "" for n in rest]), folds)
    parts = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(rest, strata, patients))
    train, validation = parts[fold]
    training_films = {images[n].film for n in rest[train]}
    return Split(
        train=np.array([n for n, image in enumerate(images) if image.film in training_films], np.intp),
        validation=rest[validation],
        test=test,
    )


@dataclass(frozen=True)
class OfficialDivision:
    """The films of a data set's own division, by id, without those that it can't place.

    `both_sides` are the patients who have films on both sides, all of whose films are left out; `unplaced` the films on
    neither side.
    """

    training: frozenset[str]
    test: frozenset[str]
    both_sides: frozenset[str]
    unplaced: frozenset[str]


def divided_officially(images: Iterable[Film | Variant]) -> OfficialDivision:
    """Divide films, or images of films, as their data set says, with each patient on one side."""
    placed = {(_film_id(image), image.patient, image.official_split) for image in images}
    sides: dict[str, set[str]] = {"training": set(), "test": set()}
    for _, patient, side in placed:
        if side is not None:
            sides[side].add(patient)
    both = sides["training"] & sides["test"]

    def films(wanted: str | None) -> frozenset[str]:
        return frozenset(film for film, patient, side in placed if side == wanted and patient not in both)

    return OfficialDivision(films("training"), films("test"), frozenset(both), films(None))


def _film_id(image: Film | Variant) -> str:
    return image.id if isinstance(image, Film) else image.film


def paper_split(images: Sequence[Variant], seed: int) -> Split:
    """Split all images at random, 70 / 15 / 15 %, augmented ones included.

    This leaks: rotated copies of one film are in several parts. It reproduces the published protocol.

    Raises:
        PlanError: there are too few images with one of the labels.
    """
    everything = np.arange(len(images))
    labels = np.array([image.label for image in images])
    try:
        train, rest = train_test_split(everything, test_size=0.3, stratify=labels, random_state=seed)
        validation, test = train_test_split(rest, test_size=0.5, stratify=labels[rest], random_state=seed)
    except ValueError as error:
        raise PlanError(f"the images can't be split by the paper's protocol: {error}") from error
    return Split(train=np.sort(train), validation=np.sort(validation), test=np.sort(test))


def _strata(labels: npt.NDArray[np.str_], densities: npt.NDArray[np.str_], folds: int) -> npt.NDArray[np.str_]:
    """Return label and density of each film, or its label only if that is too rare.

    A stratum needs two films per fold.
    """
    both = np.char.add(np.char.add(labels.astype(str), "/"), densities.astype(str))
    count = Counter(both.tolist())
    return np.where([count[stratum] >= 2 * folds for stratum in both.tolist()], both, labels.astype(str))


def _validation_part(
    labels: npt.NDArray[np.str_], patients: npt.NDArray[np.str_], seed: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Split films into training and validation, with every label in training."""
    films = Counter(labels.tolist()).values()
    parts = max(2, min(_VALIDATION_PARTS, *films))
    if parts <= min(max(films), len(set(patients))):
        folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(labels, labels, patients)
        complete = [split for split in folds if set(labels[split[0]]) == set(labels) and len(split[1])]
        if complete:
            train, validation = max(complete, key=lambda split: len(set(labels[split[1]])))
            return train, validation
    raise PlanError("too few patients remain for training and validation; use more films")
