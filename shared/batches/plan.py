"""The plan of a batch: everything that determines its results, in `batches/<batch>/plan.json`.

The keys of its images are stored in separate lists of many keys, so that a batch of 100,000 images is created in
seconds and a worker reads only its part. Concurrent requests write separate lists; the plan names the valid one.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Literal

from shared.api.batches import MOST_BATCH_IMAGES, BatchRequest
from shared.digests import sha256_hex
from shared.domain.records import Record
from shared.errors import InputError, MammoError, ObjectNotFound, PlanError, PreconditionFailed, RunNotFound
from shared.queue.attempts import storable
from shared.store import layout
from shared.store.documents import document, read_document
from shared.store.interface import ObjectStore

PART_IMAGES = 16
_LIST_PARTS = 64
_KEY_BYTES = 1024  # limit of S3


class BatchNotFound(RunNotFound):
    """An unknown batch, or a batch of another key."""

    code = "batch-not-found"

    def __init__(self) -> None:
        super().__init__("there is no such batch; `mammo batch list` shows those of your API key")


class IdempotencyConflict(MammoError):
    """An Idempotency-Key that was used with another request before."""

    code = "idempotency-conflict"
    http_status = 409


class BatchPlan(Record):
    """Plan of one batch.

    Attributes:
        owner: name of the API key that created it.
        part_images: number of images per part.
        asked: digest of the request.
        listing: name of the lists of the images' keys.
    """

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
        """Yield the names of all parts, in the order of the images."""
        return (f"{first // self.part_images:06d}" for first in range(0, self.images, self.part_images))

    def span(self, part: str) -> range:
        """Return the indices of the images of a part.

        Raises:
            PlanError: there is no such part.
        """
        known = len(part) == 6 and part.isdecimal()
        first = int(part) * self.part_images if known else self.images
        if first >= self.images:
            raise PlanError(f"batch {self.batch} has no part '{part}'")
        return range(first, min(first + self.part_images, self.images))


def batch_id(owner: str, idempotency_key: str | None) -> str:
    """Derive the id from owner and idempotency key; random without a key."""
    if idempotency_key is None:
        return secrets.token_hex(16)
    return sha256_hex(f"{owner}\n{idempotency_key}".encode())[:32]


def read_batch(store: ObjectStore, batch: str) -> BatchPlan:
    """Read the plan of a batch.

    Raises:
        BatchNotFound: there is no such batch.
    """
    if not (batch.isalnum() and batch.isascii() and len(batch) == 32):
        raise BatchNotFound
    try:
        return read_document(store, layout.batch_plan(batch), BatchPlan)
    except ObjectNotFound:
        raise BatchNotFound from None


def read_images(store: ObjectStore, plan: BatchPlan, part: str) -> list[tuple[int, str]]:
    """Read index and key of each image of a part.

    Raises:
        PlanError: there is no such part.
    """
    span, size = plan.span(part), _LIST_PARTS * plan.part_images
    listed = json.loads(store.get(layout.batch_keys(plan.batch, plan.listing, span.start // size)))
    return [(index, listed[index % size]) for index in span]


def make_batch(
    store: ObjectStore, batch: str, request: BatchRequest, allowed: str, *, owner: str, network: str, version: str
) -> BatchPlan:
    """Store a new batch: the lists of its images, then its plan.

    An existing batch of the same id and request is returned unchanged.

    Args:
        store: store of batches and images.
        batch: id of the batch.
        request: images and options.
        allowed: prefix below which all images must be.
        owner: name of the API key.
        network: network to predict with.
        version: version of the network.

    Raises:
        InputError: a key or the prefix is not below `allowed`, or there are no images, or too many.
        IdempotencyConflict: the existing batch has another request.
    """
    digest = sha256_hex(request.model_dump_json().encode())
    with suppress(BatchNotFound):
        return _same(read_batch(store, batch), digest)
    _check_nothing_is_left(store, batch)
    listing = secrets.token_hex(8)
    images = _write_lists(store, batch, listing, _images(store, request, allowed))
    plan = BatchPlan(
        batch=batch,
        owner=owner,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        network=network,
        version=version,
        operating_point=request.operating_point,
        explain=request.explain,
        images=images,
        part_images=PART_IMAGES,
        asked=digest,
        listing=listing,
    )
    try:
        store.put(layout.batch_plan(batch), document(plan, indent=1), if_absent=True)
    except PreconditionFailed:  # the same request was sent twice at the same time
        _drop_lists(store, batch, listing)
        return _same(read_batch(store, batch), digest)
    return plan


def check_each_once(request: BatchRequest) -> None:
    """Check that a request names each image once.

    Raises:
        InputError: a key is there more than once.
    """
    if len(set(request.keys)) < len(request.keys):
        twice = next(key for key, count in Counter(request.keys).items() if count > 1)
        raise InputError(f"the key '{storable(twice)[:200]}' is there more than once; name each image once")


def _check_nothing_is_left(store: ObjectStore, batch: str) -> None:
    """Check that a new batch does not meet the results of one whose plan was removed.

    Raises:
        IdempotencyConflict: there are some.
    """
    if next(store.list(layout.batch_marks(batch)), None) and not store.exists(layout.batch_plan(batch)):
        raise IdempotencyConflict(
            f"results are left of the removed batch {batch}, which this Idempotency-Key made; send another one"
        )


def _images(store: ObjectStore, request: BatchRequest, allowed: str) -> Iterator[str]:
    """Yield the requested keys, in order.

    Raises:
        InputError: a key is not below `allowed`.
    """
    if request.prefix:
        if not request.prefix.endswith("/"):
            raise InputError("the prefix does not end with a slash; add it, or send the keys of the images")
        _check_below(allowed, request.prefix.removesuffix("/"), request.prefix)
        return (key for key in store.list(request.prefix) if not key.endswith("/"))
    for key in request.keys:
        _check_below(allowed, key, key)
    return iter(request.keys)


def _check_below(allowed: str, path: str, key: str) -> None:
    """Check that a key, whose steps are those of `path`, lies below `allowed`.

    Raises:
        InputError: it does not, or it is ambiguous.
    """
    plain = key.isprintable() and "\\" not in key and not {"", ".", ".."} & set(path.split("/"))
    if not plain or not key.startswith(allowed) or len(key.encode()) > _KEY_BYTES:
        raise InputError(f"a key or the prefix is not below {allowed}; batches accept images below it only")


def _write_lists(store: ObjectStore, batch: str, listing: str, images: Iterator[str]) -> int:
    """Store the keys in lists and return their number.

    Raises:
        InputError: there are no keys, or too many.
    """
    count, most = 0, MOST_BATCH_IMAGES
    for number, chunk in enumerate(_chunks(islice(images, most + 1), _LIST_PARTS * PART_IMAGES)):
        store.put(layout.batch_keys(batch, listing, number), json.dumps(chunk).encode())
        count += len(chunk)
    if count > most:
        _drop_lists(store, batch, listing)
        raise InputError(f"there are more than {most} images below this prefix; create several batches")
    if not count:
        raise InputError("there are no images below this prefix; upload some first")
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
            f"this Idempotency-Key was used with another request, for batch {plan.batch}; use a new one"
        )
    return plan
