"""Find objects that nothing refers to and that are old, and remove them.

Objects are judged by groups, such as the images of a recipe or a version of a model: a group stays as long as one of
its objects is younger than the limit, so that nothing is taken from a process that writes. Before a group is removed,
references and objects are read again, and each object once more before it is deleted. What marks a group as complete is
deleted first, and then references are read once more. A run writes its plan first and looks second: if it saw a mark,
its plan is found here, and all else stays; if its plan came later, it finds nothing done, and makes it again.
"""

import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby

from shared.errors import ObjectNotFound, StoreMisconfigured
from shared.retention.references import ReferenceReader, References
from shared.store import layout
from shared.store.interface import ObjectEntry, ObjectStore

_GROUPS = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"data_(augmentation|segmentation)/[^/]+/[^/]+/", "images that no run uses"),
        (r"runs/[^/]+/", "files of runs without a plan"),
        (r"failed/(?!gateway/)[^/]+/", "failures of runs without a plan"),
        (r"weights/[^/]+/", "weights that no run names"),
        (r"models/[^/]+/(?!aliases/|audit/)[^/]+/", "models without run, alias and trail"),
        (r"raw/[^/]+/[^/]+/", "films that no data set has"),
        (r"evaluations/[^/]+/", "evaluations without a plan"),
        (r"batches/of/[^/]+/[^/]+$", "batches without a plan"),
        (r"batches/(?!of/)[^/]+/", "batches without a plan"),
    )
)
"""The beginnings of keys that make a group, and what it is. The gateway sweeps its own."""

_MARKS = re.compile(r".*/(manifests|units)/.*|.*(plan|card|manifest)\.json")
"""Objects that say that others are complete."""


@dataclass(frozen=True)
class Group:
    """Objects that stay or go together: a kind in words, and a key, or a prefix that ends with a slash."""

    kind: str
    place: str


@dataclass
class Unreferenced:
    """A group that nothing refers to.

    Attributes:
        modified: time of its youngest object, in seconds since the epoch.
    """

    group: Group
    objects: int = 0
    size: int = 0
    modified: float = 0.0


@dataclass
class Removal:
    """What was removed.

    Attributes:
        kept: groups that came into use before they were gone.
        forbidden: groups of which the store permits no deletion.
    """

    objects: int = 0
    size: int = 0
    kept: list[Group] = field(default_factory=list)
    forbidden: list[Group] = field(default_factory=list)


def store_time(store: ObjectStore) -> float:
    """Return the time by the store's clock, in seconds since the epoch: that of an object that is written for it.

    An object that a killed process leaves there belongs to a group without references.
    """
    key = f"{layout.runs()}gc-clock/{uuid.uuid4().hex}"
    store.put(key, b"")
    try:
        return store.entry(key).modified
    finally:
        store.delete(key)


def find_unreferenced(store: ObjectStore, before: float) -> list[Unreferenced]:
    """Find the groups that nothing refers to and of which no object is as young as `before`, by the store's clock.

    Raises:
        ObjectUnreadable: what a damaged record refers to is not known.
        ObjectOfLaterRelease: the same of a record of a later release.
        DatasetError: the same of a shard of a data set that is missing.
    """
    references = ReferenceReader(store).read()
    found = []
    entries_of_all = chain.from_iterable(store.entries(prefix) for prefix in layout.TOP)
    for group, entries in groupby(entries_of_all, lambda entry: group_of(entry.key)):
        if group is None or is_referenced(references, group):
            continue
        total = Unreferenced(group)
        for entry in entries:
            total.objects += 1
            total.size += entry.size
            total.modified = max(total.modified, entry.modified)
        if total.modified < before:
            found.append(total)
    return found


def remove(store: ObjectStore, found: Iterable[Unreferenced], before: float) -> Removal:
    """Remove groups, unless they came into use since they were found."""
    removal, reader = Removal(), ReferenceReader(store)
    for each in found:
        try:
            if not _remove_group(store, each.group, before, reader, removal):
                removal.kept.append(each.group)
        except StoreMisconfigured:
            removal.forbidden.append(each.group)
    return removal


def group_of(key: str) -> Group | None:
    """Return the group of an object; None for what is never removed."""
    for pattern, kind in _GROUPS:
        if found := pattern.match(key):
            return Group(kind, found[0])
    return None


def is_referenced(references: References, group: Group) -> bool:
    """Return whether something refers to a group."""
    match group.place.split("/"):
        case ["runs" | "failed", run, *_]:
            return run in references.runs
        case ["models", network, version, *_]:
            return (network, version) in references.models
        case ["batches", "of", _, marker]:
            return any(marker.endswith(f"-{batch}") for batch in references.batches)
        case ["batches", batch, *_]:
            return batch in references.batches
        case ["evaluations", evaluation, *_]:
            return evaluation in references.evaluations
    return group.place in references.prefixes


def _entries(store: ObjectStore, group: Group) -> Iterator[ObjectEntry]:
    if group.place.endswith("/"):
        yield from store.entries(group.place)
        return
    try:
        yield store.entry(group.place)
    except ObjectNotFound:
        return


def _remove_group(store: ObjectStore, group: Group, before: float, reader: ReferenceReader, removal: Removal) -> bool:
    """Delete a group, its marks first; return False if it is used or young, whatever is deleted by then."""
    entries = list(_entries(store, group))
    if is_referenced(reader.read(), group) or any(entry.modified >= before for entry in entries):
        return False
    marks = [entry for entry in entries if _MARKS.fullmatch(entry.key)]
    others = [entry for entry in entries if not _MARKS.fullmatch(entry.key)]
    if not _delete(store, marks, before, removal):
        return False
    if marks and is_referenced(reader.read(), group):
        return False
    return _delete(store, others, before, removal)


def _delete(store: ObjectStore, entries: list[ObjectEntry], before: float, removal: Removal) -> bool:
    """Delete objects; stop at the first that was written since, and return False."""
    for entry in entries:
        try:
            current = store.entry(entry.key)
        except ObjectNotFound:  # somebody else deleted it
            continue
        if current.modified >= before:
            return False
        store.delete(entry.key)
        removal.objects += 1
        removal.size += current.size
    return True
