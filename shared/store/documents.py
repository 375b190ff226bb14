"""Write stored records, and read those of this release and of its neighbours.

Every kind of record has a schema number. Number 1 is the layout of release 0.1.0, which refuses fields that it does not
know: it is not written. Later numbers are, with the release that wrote the record. A reader of number N reads the
records of N - 1 and N + 1, and ignores the fields that it does not know; those beyond are of a later release. Where a
record lists no fields (lists of keys, lines of results), the plan that names it has the number.
"""

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import __version__, metrics
from shared.domain.records import Record
from shared.errors import ObjectOfLaterRelease, ObjectUnreadable
from shared.store.interface import ObjectStore

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
    "gateway",
):
    metrics.OBJECTS_UNREADABLE.labels(_prefix)  # 0 is there from the start, so that the first one is seen to be one

_R = TypeVar("_R", bound=Record)


class _Numbered(BaseModel):
    """What every stored object may have."""

    model_config = ConfigDict(extra="ignore")

    schema_number: int = Field(1, ge=1)
    code_version: str | None = None


def document(record: Record, *, indent: int | None = None) -> bytes:
    """Return the stored form of a record: JSON with its schema number, unless that is 1."""
    text = record.model_dump_json(indent=indent)
    if record.schema_number == 1:
        return text.encode()
    numbers: dict[str, int | str] = {"schema_number": record.schema_number}
    if "code_version" not in type(record).model_fields:
        numbers |= {"code_version": __version__}
    return json.dumps(numbers | json.loads(text), indent=indent, ensure_ascii=False).encode()


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
    if numbered.schema_number > kind.schema_number + 1:
        raise ObjectOfLaterRelease(key, numbered.code_version)
    try:
        return kind.model_validate_json(data, extra="ignore")
    except ValidationError as error:
        if numbered.schema_number > kind.schema_number:
            raise ObjectOfLaterRelease(key, numbered.code_version) from None
        place = ".".join(map(str, error.errors(include_input=False, include_url=False)[0]["loc"]))
        raise ObjectUnreadable(key, f"its field '{place}' is missing or not valid") from None
