"""The split of a job: computed once, by the first job that needs it, and stored with the run.

Dividing tens of thousands of films takes seconds, and each job, each baseline and each publication needs a split. Runs
of earlier releases have none stored, and get them.
"""

from typing import Self

import numpy as np
import numpy.typing as npt

from services.train.data.inputs import RunImages, job_split
from services.train.jobs import TrainingJob
from shared.datasets.splits import SPLIT_VERSION, Split
from shared.domain.records import Record
from shared.errors import ObjectNotFound, ObjectUnreadable
from shared.runs.plan import Plan
from shared.store import layout
from shared.store.documents import read_document
from shared.store.interface import ObjectStore


class StoredSplit(Record):
    """A split as it is stored: indices into the images of the run whose manifests have the digest `data_sha256`."""

    split_version: int
    data_sha256: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    @classmethod
    def of(cls, split: Split, images: RunImages) -> Self:
        """Return a split of a run's images as it is stored."""
        train, validation, test = (part.tolist() for part in (split.train, split.validation, split.test))
        return cls(
            split_version=SPLIT_VERSION,
            data_sha256=images.sha256,
            train=train,
            validation=validation,
            test=test,
        )

    @property
    def split(self) -> Split:
        """The split itself."""
        return Split(_indices(self.train), _indices(self.validation), _indices(self.test))


def run_split(store: ObjectStore, plan: Plan, job: TrainingJob, images: RunImages) -> Split:
    """Return the split of a job, the stored one if it is of these images; otherwise compute and store it.

    Raises:
        PlanError: as `job_split`.
    """
    key = layout.run_split(plan.run, job.protocol, job.fold)
    try:
        stored = read_document(store, key, StoredSplit)
        if (stored.split_version, stored.data_sha256) == (SPLIT_VERSION, images.sha256):
            return stored.split
    except (ObjectNotFound, ObjectUnreadable):
        pass
    split = job_split(images.variants, plan, job)
    store.put(key, StoredSplit.of(split, images).model_dump_json().encode())
    return split


def _indices(part: tuple[int, ...]) -> npt.NDArray[np.intp]:
    return np.array(part, np.intp)
