"""Split films into training, validation and test: by patient, or as published."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from shared.domain.films import Variant, check_enough_patients, patients_by_label
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
