"""Data sets as commands name them: NAME is the newest version, NAME@VERSION an earlier one."""

from shared.domain.films import Dataset, version_of
from shared.errors import InputError, ObjectNotFound, PlanError
from shared.store.ingest import read_dataset
from shared.store.interface import ObjectStore


def read_dataset_version(store: ObjectStore, named: str) -> Dataset:
    """Read a data set, or a version of it, as it was before films were added.

    Raises:
        InputError: `named` is neither NAME nor NAME@VERSION.
        PlanError: there is no such data set or version.
    """
    name, at, number = named.partition("@")
    if at and not (number.isascii() and number.isdecimal()):
        raise InputError(f"'{named}' is no version of a data set; write {name}@NUMBER, such as {name}@1")
    try:
        dataset = read_dataset(store, name)
    except ObjectNotFound:
        raise PlanError(f"there is no data set '{name}'; add it with `mammo ingest FOLDER --dataset {name}`") from None
    found = version_of(dataset, int(number)) if at else dataset
    if found is None:
        raise PlanError(f"data set {name} has no version {number}; it has 1 to {dataset.version}")
    return found
