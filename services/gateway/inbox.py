"""The inbox: films that were pushed, in the store until their results are stored.

Names are hashes, so that a listing tells nothing of patients. The name also has side and view of a film that is judged,
so that an exam is known to be complete without reading it.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from services.gateway.eligibility import FILM_CLASS, FOUR_VIEWS, Implants, refusal_of
from services.gateway.films import FilmHeader, film_set, hashed, read_header
from shared.errors import PreconditionFailed
from shared.store import layout
from shared.store.interface import ObjectStore

_UNKNOWN = "X"  # a film that is not judged, or whose side or view the file does not state
_KEY = re.compile(r"([0-9a-f]{64})/([A-Z]+)-([0-9a-f]{64})\.dcm")
_COMPLETE = {f"{side}{view}" for side, view in FOUR_VIEWS}


@dataclass
class ReceivedExam:
    """Films of a study in the inbox.

    Attributes:
        keys: of the films, by the hash of their UID.
        views: side and view of those that are judged.
        last: time at which the last film came, in seconds since the epoch.
        first: time at which the first film came.
    """

    study: str
    keys: dict[str, str] = field(default_factory=dict)
    views: set[str] = field(default_factory=set)
    first: float = float("inf")
    last: float = 0.0

    @property
    def is_complete(self) -> bool:
        """True if both standard views of both breasts are there."""
        return self.views >= _COMPLETE

    @property
    def film_set(self) -> str:
        """Digest of the films."""
        return film_set(self.keys)


def is_wanted(sop_class: str) -> bool:
    """Return True for the storage class of films; everything else is accepted and dropped."""
    return sop_class == FILM_CLASS


def keep(store: ObjectStore, data: bytes, implants: Implants = "skip", arrived: Callable[[str], object] = str) -> bool:
    """Keep a film until its results are stored; return False if it is there already.

    Args:
        arrived: called with the hash of the film's study, once a new film is kept.

    Raises:
        UndecodableImage: it is no DICOM file with valid UIDs.
        StoreError: it could not be kept, and must be sent again.
    """
    header = read_header(data)
    key = layout.gateway_film(hashed(header.study_uid), _view_of(header, implants), hashed(header.sop_uid))
    try:
        store.put(key, data, if_absent=True)
    except PreconditionFailed:
        return False
    arrived(hashed(header.study_uid))
    return True


def received_exams(store: ObjectStore, study: str = "") -> dict[str, ReceivedExam]:
    """List what the inbox holds, of one study or of all, by the hash of the study."""
    found: dict[str, ReceivedExam] = {}
    for entry in store.entries(layout.gateway_inbox(study)):
        parsed = _KEY.fullmatch(entry.key.removeprefix(layout.gateway_inbox()))
        if parsed is None:
            continue
        study, view, film = parsed.groups()
        exam = found.setdefault(study, ReceivedExam(study))
        exam.keys[film] = entry.key
        exam.views |= {view} - {_UNKNOWN}
        exam.first, exam.last = min(exam.first, entry.modified), max(exam.last, entry.modified)
    return found


def received_films(store: ObjectStore, study: str) -> dict[str, str]:
    """Return the keys of a study's films, by the hash of their UID."""
    found: dict[str, str] = defaultdict(str)
    for key in store.list(layout.gateway_inbox(study)):
        parsed = _KEY.fullmatch(key.removeprefix(layout.gateway_inbox()))
        if parsed is not None:
            found[parsed.group(3)] = key
    return dict(found)


def _view_of(header: FilmHeader, implants: Implants) -> str:
    if refusal_of(header, implants) is not None or (header.side, header.view) not in FOUR_VIEWS:
        return _UNKNOWN
    return f"{header.side}{header.view}"
