"""Claims on long jobs: objects in the store with a fencing token that grows with every owner.

A worker that takes a job over writes its id into the job's claim, by a conditional write. Every write of an owner goes
through `FencedStore`, which first reads the claim: an owner that was presumed dead and comes back is refused. The
object that marks the job as done is written conditionally, so that a delayed write can't replace it. Leases in Redis
only avoid duplicate work; claims protect the results even when Redis has lost all its data.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from shared.domain.records import Record
from shared.errors import MammoError, ObjectNotFound, ObjectUnreadable, PreconditionFailed
from shared.queue.lease import LeaseHeld
from shared.store.documents import document, parse_document
from shared.store.interface import ObjectEntry, ObjectStore, StoredObject


class Superseded(MammoError):
    """A job that another worker has taken over; nothing was written."""

    code = "superseded"


class Claim(Record):
    """Content of a claim.

    Attributes:
        token: number of owners so far.
        owner: random id of the current owner.
        since: start of the ownership, UTC in ISO format.
        deaths: consecutive owners that died without progress.
        released: the owner ended in good order.
    """

    token: int
    owner: str
    since: str
    deaths: int
    released: bool = False


class FencedStore:
    """A store that only the current owner of a job can write to.

    Every write raises Superseded once another worker owns the job.
    """

    def __init__(self, store: ObjectStore, key: str, claim: Claim, etag: str, done_key: str) -> None:
        self._store = store
        self._key = key
        self._etag = etag
        self._done_key = done_key
        self._done_before = _etag(store, done_key)
        self.claim = claim

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self._check()
        return self._store.put(key, data, if_absent=if_absent, if_match=if_match)

    def finish(self, data: bytes) -> None:
        """Write the object that marks the job as done, unless another owner has.

        Raises:
            Superseded: the object has changed since the claim, or another worker owns the job.
        """
        self._check()
        try:
            if self._done_before is None:
                self._done_before = self._store.put(self._done_key, data, if_absent=True)
            else:
                self._done_before = self._store.put(self._done_key, data, if_match=self._done_before)
        except PreconditionFailed:
            raise self._superseded() from None

    def delete(self, key: str) -> None:
        self._check()
        self._store.delete(key)

    def discard_partial(self, prefix: str) -> int:
        self._check()
        return self._store.discard_partial(prefix)

    def note_progress(self) -> None:
        """Reset the count of deaths, because this owner made progress.

        Raises:
            Superseded: another worker owns the job.
        """
        if self.claim.deaths:
            self._replace(self.claim.model_copy(update={"deaths": 0}))

    def release(self) -> None:
        """Mark the claim as ended in good order.

        Raises:
            Superseded: another worker owns the job.
        """
        self._replace(self.claim.model_copy(update={"released": True}))

    def read(self, key: str) -> StoredObject:
        return self._store.read(key)

    def get(self, key: str) -> bytes:
        return self._store.get(key)

    def exists(self, key: str) -> bool:
        return self._store.exists(key)

    def entry(self, key: str) -> ObjectEntry:
        return self._store.entry(key)

    def size(self, key: str) -> int:
        return self._store.size(key)

    def entries(self, prefix: str) -> Iterator[ObjectEntry]:
        return self._store.entries(prefix)

    def list(self, prefix: str) -> Iterator[str]:
        return self._store.list(prefix)

    def locate(self, key: str) -> str:
        return self._store.locate(key)

    def __hash__(self) -> int:
        return hash(self._store)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FencedStore) and self._store == other._store

    def _check(self) -> None:
        try:
            ours = self._store.read(self._key).etag == self._etag
        except ObjectNotFound:
            ours = False
        if not ours:
            raise self._superseded()

    def _replace(self, claim: Claim) -> None:
        try:
            self._etag = self._store.put(self._key, document(claim), if_match=self._etag)
        except PreconditionFailed:
            raise self._superseded() from None
        self.claim = claim

    def _superseded(self) -> Superseded:
        return Superseded(f"{self._key}: another worker has taken over from owner {self.claim.token}")


def _etag(store: ObjectStore, key: str) -> str | None:
    try:
        return store.read(key).etag
    except ObjectNotFound:
        return None


@contextmanager
def claimed(store: ObjectStore, key: str, done_key: str) -> Iterator[FencedStore]:
    """Own a job for the duration of the block, in place of its previous owner.

    Args:
        store: store of claim and results.
        key: key of the claim.
        done_key: key of the object that marks the job as done.

    Raises:
        LeaseHeld: another worker claims the job at the same moment.
        Superseded: another worker took the job over before the end of the block.
    """
    try:
        stored = store.read(key)
        before: Claim | None = parse_document(key, stored.data, Claim)
    except ObjectNotFound:
        stored, before = None, None
    except ObjectUnreadable:  # its etag fences the former owner all the same
        before = None
    claim = Claim(
        token=before.token + 1 if before else 1,
        owner=uuid.uuid4().hex,
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        deaths=before.deaths + 1 if before and not before.released else 0,
    )
    data = document(claim)
    try:
        etag = store.put(key, data, if_match=stored.etag) if stored else store.put(key, data, if_absent=True)
    except PreconditionFailed:
        raise LeaseHeld(f"{key} is being claimed by another worker") from None
    fenced = FencedStore(store, key, claim, etag, done_key)
    try:
        yield fenced
    except Superseded:
        raise
    except Exception:
        fenced.release()
        raise
    fenced.release()
