"""Read stored records, of this release and of its neighbours.

A record of the next release may have fields that this one does not know: they are ignored. `schema_number` of a stored
object (1 where it has none) grows when fields are no longer enough; objects of the next number are still read, where
they fit, those beyond it never.
"""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import metrics
from shared.domain.records import Record
from shared.errors import ObjectOfLaterRelease, ObjectUnreadable
from shared.store.interface import ObjectStore

SCHEMA_NUMBER = 1
"""Of the objects that this release writes."""

for _prefix in (
    "raw",
    "data_augmentation",
    "data_segmentation",
    "runs",
    "failed",
    "models",
    "batches",
    "evaluations",
    "access",
):
    metrics.OBJECTS_UNREADABLE.labels(_prefix)  # 0 is there from the start, so that the first one is seen to be one

_R = TypeVar("_R", bound=Record)


class _Numbered(BaseModel):
    """What every stored object may have."""

    model_config = ConfigDict(extra="ignore")

    schema_number: int = Field(1, ge=1)
    code_version: str | None = None


def read_document(store: ObjectStore, key: str, kind: type[_R]) -> _R:
    """Read a stored record.

    Raises:
        ObjectNotFound: there is no such object.
        ObjectUnreadable: it is empty, truncated or damaged, or has another layout.
        ObjectOfLaterRelease: a later release wrote it in a form of its own.
    """
    return parse_document(key, store.get(key), kind)


def parse_document(key: str, data: bytes, kind: type[_R]) -> _R:
    """Parse a stored record that was read from `key`; the errors of `read_document`."""
    try:
        return _parsed(key, data, kind)
    except (ObjectUnreadable, ObjectOfLaterRelease):
        metrics.OBJECTS_UNREADABLE.labels(key.partition("/")[0]).inc()
        raise


def _parsed(key: str, data: bytes, kind: type[_R]) -> _R:
    if not data.strip():
        raise ObjectUnreadable(key, "it is empty")
    try:
        numbered = _Numbered.model_validate_json(data)
    except ValidationError:
        raise ObjectUnreadable(key, "it is truncated, damaged or not a JSON object") from None
    if numbered.schema_number > SCHEMA_NUMBER + 1:
        raise ObjectOfLaterRelease(key, numbered.code_version)
    try:
        return kind.model_validate_json(data, extra="ignore")
    except ValidationError as error:
        if numbered.schema_number > SCHEMA_NUMBER:
            raise ObjectOfLaterRelease(key, numbered.code_version) from None
        place = ".".join(map(str, error.errors(include_input=False, include_url=False)[0]["loc"]))
        raise ObjectUnreadable(key, f"its field '{place}' is missing or not valid") from None
