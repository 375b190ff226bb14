"""Who may write for a long job: an object in the store with a token that grows with every owner.

Whoever takes a job over writes its own name into the job's claim, by a conditional write. Every write of an owner goes
through `FencedStore`, which first reads the claim: an owner that was taken for dead, and comes back, is refused. What
says that the job is done is written by a condition, so not even a write that was on its way meanwhile replaces it.
Leases in Redis only save work; this holds even when Redis has lost everything.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from shared.domain.records import Record
from shared.errors import MammoError, ObjectNotFound, ObjectUnreadable, PreconditionFailed
from shared.queue.lease import LeaseHeld
from shared.store.documents import parse_document
from shared.store.interface import ObjectEntry, ObjectStore, StoredObject


class Superseded(MammoError):
    """Another worker has taken the job over; nothing was written."""

    code = "superseded"


class Claim(Record):
    """The content of a claim. `deaths` counts the owners that died one after the other without getting anywhere."""

    token: int
    owner: str
    since: str
    deaths: int
    released: bool = False


class FencedStore:
    """The store as the owner of a job sees it: reading is free, writing is for the owner alone."""

    def __init__(self, store: ObjectStore, key: str, claim: Claim, etag: str, done_key: str) -> None:
        self._store = store
        self._key = key
        self._etag = etag
        self._done_key = done_key
        self._done_before = _etag(store, done_key)
        self.claim = claim

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """As ObjectStore.put. Raises Superseded."""
        self._check()
        return self._store.put(key, data, if_absent=if_absent, if_match=if_match)

    def finish(self, data: bytes) -> None:
        """Write the object that says that the job is done, if it still is as it was when the claim was made.

        Raises:
            Superseded: another owner has written it, or has the claim.
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
        """As ObjectStore.delete. Raises Superseded."""
        self._check()
        self._store.delete(key)

    def discard_partial(self, prefix: str) -> int:
        self._check()
        return self._store.discard_partial(prefix)

    def got_somewhere(self) -> None:
        """Notes that this owner made progress, so that the deaths before it count no more. Raises Superseded."""
        if self.claim.deaths:
            self._replace(self.claim.model_copy(update={"deaths": 0}))

    def release(self) -> None:
        """Notes that the owner left in good order. Raises Superseded."""
        self._replace(self.claim.model_copy(update={"released": True}))

    def read(self, key: str) -> StoredObject:
        return self._store.read(key)

    def get(self, key: str) -> bytes:
        return self._store.get(key)

    def exists(self, key: str) -> bool:
        return self._store.exists(key)

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
            self._etag = self._store.put(self._key, claim.model_dump_json().encode(), if_match=self._etag)
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
    """Makes the block the owner of a job, in place of whoever was.

    Args:
        key: of the claim.
        done_key: of the object that says that the job is done.

    Raises:
        LeaseHeld: another worker claims it at this very moment.
        Superseded: another worker took it over before the block had ended.
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
    document = claim.model_dump_json().encode()
    try:
        etag = store.put(key, document, if_match=stored.etag) if stored else store.put(key, document, if_absent=True)
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
