"""Contracts between the flow and its surroundings: archives to read from, destinations to send to.

The flow takes films from an `Archive` or from the inbox, and gives results to each `Destination`. What is done is read
from them: `instances` lists films and results of a study. What does not answer raises ServiceUnavailable, which is
waited out; a destination that refuses an object raises `Rejected`, which sets the exam aside.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.gateway.objects.build import ResultObject
from shared.errors import MammoError


class Rejected(MammoError):
    """A destination that refuses an object for good; names the kind of object and the status, no value of it."""

    code = "result-rejected"
    http_status = 502


@dataclass(frozen=True)
class StudyEntry:
    """A study in a listing; `instances` is the number of its objects, None if the archive does not count them."""

    study_uid: str
    instances: int | None


@dataclass(frozen=True)
class ListedInstance:
    """An object of a study in a listing; side and view where the archive lists them."""

    sop_class: str
    sop_uid: str
    series_uid: str
    series_number: int = 0
    instance_number: int = 0
    side: str = ""
    view: str = ""


class Archive(Protocol):
    """An archive that is read: listings, and films with their bytes unchanged."""

    def recent_studies(self, back_from: datetime | None = None) -> Iterator[StudyEntry]:
        """List studies with mammograms, from some days before a time, by default now. Raises ServiceUnavailable."""

    def instances(self, study_uid: str) -> list[ListedInstance] | None:
        """List the objects of a study; none if there is no such study. Raises ServiceUnavailable."""

    def fetch(self, study_uid: str, instance: ListedInstance) -> bytes:
        """Read an object as the DICOM file that the archive holds. Raises ServiceUnavailable."""


class Destination(Protocol):
    """A place for results. `name` is its label in metrics and records, without address."""

    name: str

    def check(self) -> None:
        """Raise ServiceUnavailable if the destination does not answer."""

    def send(self, objects: Sequence[ResultObject]) -> None:
        """Send objects of one study; those that are there already do no harm.

        Raises:
            ServiceUnavailable: some may have arrived; sending all again is right.
            Rejected: an object was refused for good.
        """

    def instances(self, study_uid: str) -> list[ListedInstance] | None:
        """List the objects of a study; None if the destination can't be asked. Raises ServiceUnavailable."""
