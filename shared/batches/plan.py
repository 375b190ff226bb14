"""The plan of a batch: all that decides its outcome, written to `batches/<batch>/plan.json` before it is enqueued.

The keys of its images stand in lists beside it, many to an object, so that a batch of 100,000 images is made in seconds
and a worker reads few of them. Each making writes lists of its own, and the one whose plan is written counts.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Literal

from shared.api.batches import MOST_BATCH_IMAGES, BatchRequest
from shared.domain.records import Record
from shared.errors import InputError, MammoError, ObjectNotFound, PlanError, PreconditionFailed, RunNotFound
from shared.store import layout
from shared.store.documents import read_document
from shared.store.interface import ObjectStore

PART_IMAGES = 16
_LIST_PARTS = 64
_KEY_BYTES = 1024  # as S3 has it


class BatchNotFound(RunNotFound):
    """There is none of this id, or it is somebody else's."""

    code = "batch-not-found"

    def __init__(self) -> None:
        super().__init__("there is no such batch; `mammo batch list` shows those of your API key")


class IdempotencyConflict(MammoError):
    """An Idempotency-Key came with another request than before."""

    code = "idempotency-conflict"
    http_status = 409


class BatchPlan(Record):
    """`asked` is the digest of what was asked for; `listing` names the lists of the images' keys."""

    batch: str
    owner: str
    created: str
    network: str
    version: str
    operating_point: str
    explain: Literal["heatmap"] | None
    images: int
    part_images: int
    asked: str
    listing: str

    def names(self) -> Iterator[str]:
        """The names of all parts, in the order of the images."""
        return (f"{first // self.part_images:06d}" for first in range(0, self.images, self.part_images))

    def span(self, part: str) -> range:
        """The indices of the images of a part. Raises PlanError when there is no such part."""
        known = len(part) == 6 and part.isdecimal()
        first = int(part) * self.part_images if known else self.images
        if first >= self.images:
            raise PlanError(f"batch {self.batch} has no part '{part}'")
        return range(first, min(first + self.part_images, self.images))


def batch_id(owner: str, idempotency_key: str | None) -> str:
    """The same for the same key of the same owner; by chance without one."""
    if idempotency_key is None:
        return secrets.token_hex(16)
    return hashlib.sha256(f"{owner}\n{idempotency_key}".encode()).hexdigest()[:32]


def read_batch(store: ObjectStore, batch: str) -> BatchPlan:
    """Raises BatchNotFound."""
    if not (batch.isalnum() and batch.isascii() and len(batch) == 32):
        raise BatchNotFound
    try:
        return read_document(store, layout.batch_plan(batch), BatchPlan)
    except ObjectNotFound:
        raise BatchNotFound from None


def read_images(store: ObjectStore, plan: BatchPlan, part: str) -> list[tuple[int, str]]:
    """Index and key of each image of a part. Raises PlanError when there is no such part."""
    span, size = plan.span(part), _LIST_PARTS * plan.part_images
    listed = json.loads(store.get(layout.batch_keys(plan.batch, plan.listing, span.start // size)))
    return [(index, listed[index % size]) for index in span]


def make_batch(
    store: ObjectStore, batch: str, asked: BatchRequest, allowed: str, *, owner: str, network: str, version: str
) -> BatchPlan:
    """Writes the lists of the images and then the plan. Where there is a batch of this id already, that is returned.

    Args:
        allowed: the prefix below which all images have to be.

    Raises:
        InputError: a key or the prefix is not below `allowed`; there are no images, or too many.
        IdempotencyConflict: the batch that is there was made of another request.
    """
    digest = hashlib.sha256(asked.model_dump_json().encode()).hexdigest()
    with suppress(BatchNotFound):
        return _same(read_batch(store, batch), digest)
    listing = secrets.token_hex(8)
    images = _write_lists(store, batch, listing, _images(store, asked, allowed))
    plan = BatchPlan(
        batch=batch,
        owner=owner,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        network=network,
        version=version,
        operating_point=asked.operating_point,
        explain=asked.explain,
        images=images,
        part_images=PART_IMAGES,
        asked=digest,
        listing=listing,
    )
    try:
        store.put(layout.batch_plan(batch), plan.model_dump_json(indent=1).encode(), if_absent=True)
    except PreconditionFailed:  # the same request came twice at a time
        _drop_lists(store, batch, listing)
        return _same(read_batch(store, batch), digest)
    return plan


def _images(store: ObjectStore, asked: BatchRequest, allowed: str) -> Iterator[str]:
    """The keys that were asked for, in order. Raises InputError when one of them is not below `allowed`."""
    if asked.prefix:
        if not asked.prefix.endswith("/"):
            raise InputError("a prefix ends with a slash; add it, or name the images by their keys")
        _check_below(allowed, asked.prefix.removesuffix("/"), asked.prefix)
        return (key for key in store.list(asked.prefix) if not key.endswith("/"))
    for key in asked.keys:
        _check_below(allowed, key, key)
    return iter(asked.keys)


def _check_below(allowed: str, path: str, key: str) -> None:
    """Raises InputError unless `key`, whose steps are those of `path`, means what is below `allowed` and nothing
    else."""
    plain = key.isprintable() and "\\" not in key and not {"", ".", ".."} & set(path.split("/"))
    if not plain or not key.startswith(allowed) or len(key.encode()) > _KEY_BYTES:
        raise InputError(f"a batch takes images below {allowed} alone; begin each key, or the prefix, with it")


def _write_lists(store: ObjectStore, batch: str, listing: str, images: Iterator[str]) -> int:
    """Stores the keys as they come and returns how many there are. Raises InputError."""
    count, most = 0, MOST_BATCH_IMAGES
    for number, chunk in enumerate(_chunks(islice(images, most + 1), _LIST_PARTS * PART_IMAGES)):
        store.put(layout.batch_keys(batch, listing, number), json.dumps(chunk).encode())
        count += len(chunk)
    if count > most:
        _drop_lists(store, batch, listing)
        raise InputError(f"there are more than {most} images below this prefix; make several batches of them")
    if not count:
        raise InputError("there is no image below this prefix; put some there first")
    return count


def _chunks(items: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _drop_lists(store: ObjectStore, batch: str, listing: str) -> None:
    for key in list(store.list(layout.batch_listing(batch, listing))):
        store.delete(key)


def _same(plan: BatchPlan, digest: str) -> BatchPlan:
    if plan.asked != digest:
        raise IdempotencyConflict(
            f"this Idempotency-Key came with another request before, which made batch {plan.batch}; take a new one"
        )
    return plan
