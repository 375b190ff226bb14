"""Who may write for a long job, over both stores: the last owner alone, whatever earlier ones still believe."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from shared.errors import JobInterrupted, StoreUnavailable
from shared.queue.claim import Claim, FencedStore, Superseded, claimed
from shared.queue.lease import LeaseHeld
from shared.store import layout
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore, StoredObject
from shared.store.s3 import S3Store
from tests.support.builders import HeldStore
from tests.support.stores import contents

KEY = layout.claim("run", "train", "resnet50/patient/fold-0")
DONE = RESULT = "runs/run/training/resnet50/patient/fold-0/result.json"
WRITES: dict[str, Callable[[FencedStore], object]] = {
    "put": lambda fenced: fenced.put(RESULT, b"late"),
    "put if absent": lambda fenced: fenced.put("runs/run/new", b"late", if_absent=True),
    "finish": lambda fenced: fenced.finish(b"late"),
    "delete": lambda fenced: fenced.delete(RESULT),
    "discard partial": lambda fenced: fenced.discard_partial("runs/"),
    "release": lambda fenced: fenced.release(),
}


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.external)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the credentials of another test
    client = boto3.client("s3", endpoint_url=request.getfixturevalue("s3_endpoint"), region_name="us-east-1")
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    return S3Store(client, bucket, "some/prefix")


class Killed(BaseException):
    """Leaves a block as a killed process does: nothing is done at its end."""


@contextmanager
def dies(store: ObjectStore) -> Iterator[FencedStore]:
    """An owner that dies at the end of the block."""
    with suppress(Killed), claimed(store, KEY, DONE) as fenced:
        yield fenced
        raise Killed


@contextmanager
def loses(store: ObjectStore) -> Iterator[FencedStore]:
    """An owner that is no longer one at the end of the block, and is told so there."""
    with pytest.raises(Superseded, match="taken over from owner"), claimed(store, KEY, DONE) as fenced:
        yield fenced


def deaths(store: ObjectStore) -> int:
    """As the next owner sees them, who leaves in good order."""
    with claimed(store, KEY, DONE) as fenced:
        return fenced.claim.deaths


def stored_claim(store: ObjectStore) -> Claim:
    return Claim.model_validate_json(store.get(KEY))


class TestOwner:
    def test_the_owner_reads_and_writes_as_if_there_were_no_claim(self, store: ObjectStore) -> None:
        with claimed(store, KEY, DONE) as fenced:
            etag = fenced.put(RESULT, b"one", if_absent=True)
            fenced.put(RESULT, b"two", if_match=etag)
            assert (fenced.get(RESULT), fenced.read(RESULT)) == (b"two", store.read(RESULT))
            assert fenced.exists(RESULT)
            assert fenced.size(RESULT) == 3
            assert list(fenced.list("runs/run/training/")) == [RESULT]
            assert [entry.key for entry in fenced.entries("runs/run/training/")] == [RESULT]
            assert fenced.locate(RESULT) == store.locate(RESULT)
            assert fenced.discard_partial("runs/run/training/") == 0
            fenced.delete(RESULT)
        assert not store.exists(RESULT)

    def test_the_token_grows_with_every_owner_however_the_one_before_left(self, store: ObjectStore) -> None:
        leaving: list[AbstractContextManager[FencedStore]] = [
            claimed(store, KEY, DONE),
            dies(store),
            claimed(store, KEY, DONE),
        ]
        for token, owner in enumerate(leaving, 1):
            with owner as fenced:
                assert fenced.claim.token == stored_claim(store).token == token
        assert stored_claim(store).released

    def test_no_two_owners_have_the_same_name(self, store: ObjectStore) -> None:
        owners = set()
        for _ in range(3):
            with claimed(store, KEY, DONE) as fenced:
                owners.add(fenced.claim.owner)
        assert len(owners) == 3

    def test_jobs_are_claimed_one_by_one(self, store: ObjectStore) -> None:
        other = layout.claim("run", "train", "resnet50/patient/fold-1")
        with claimed(store, KEY, DONE) as one, claimed(store, other, f"{DONE}-other") as two:
            one.put("a", b"")
            two.put("b", b"")
        assert list(store.list("")) == ["a", "b", KEY, other]


class TestTakeover:
    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    def test_an_owner_that_was_followed_by_another_writes_nothing(
        self, store: ObjectStore, write: Callable[[FencedStore], object]
    ) -> None:
        with loses(store) as first:
            with dies(store) as second:
                second.put(RESULT, b"of the second")
            before = contents(store)
            with pytest.raises(Superseded, match="taken over from owner 1"):
                write(first)
            assert contents(store) == before
            assert first.get(RESULT) == b"of the second"
        assert contents(store) == before

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    def test_an_owner_whose_claim_was_deleted_writes_nothing(
        self, store: ObjectStore, write: Callable[[FencedStore], object]
    ) -> None:
        store.put(RESULT, b"whole")
        with loses(store) as fenced:
            store.delete(KEY)
            with pytest.raises(Superseded):
                write(fenced)
            assert contents(store) == {RESULT: b"whole"}
        assert contents(store) == {RESULT: b"whole"}

    def test_an_owner_that_was_followed_can_not_undo_the_count_of_deaths(self, store: ObjectStore) -> None:
        with dies(store):
            pass
        with loses(store) as first:
            with dies(store):
                pass
            with pytest.raises(Superseded):
                first.note_progress()
        assert stored_claim(store).deaths == 2

    def test_an_owner_that_was_followed_by_one_that_is_done_is_refused_all_the_same(self, store: ObjectStore) -> None:
        with loses(store) as first:
            with claimed(store, KEY, DONE) as second:
                second.put(RESULT, b"of the second")
            with pytest.raises(Superseded):
                first.put(RESULT, b"late")
        assert store.get(RESULT) == b"of the second"
        assert stored_claim(store).released

    def test_its_own_error_is_hidden_when_an_owner_was_followed(self, store: ObjectStore) -> None:
        with loses(store):
            with dies(store):
                pass
            raise ValueError("of a job that is no longer ours")


class TestRaces:
    @pytest.mark.parametrize("claimed_before", [False, True])
    def test_of_two_who_claim_at_once_one_gets_it(
        self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, claimed_before: bool
    ) -> None:
        if claimed_before:
            with dies(store):
                pass
        read, both_have_read, seen = store.read, threading.Barrier(2), set[int]()

        def read_together(key: str) -> StoredObject:
            try:
                return read(key)
            finally:
                if threading.get_ident() not in seen:  # a directory reads once more when it writes
                    seen.add(threading.get_ident())
                    both_have_read.wait(10)

        def claim(_: int) -> int | None:
            try:
                with claimed(store, KEY, DONE) as fenced:
                    return fenced.claim.token
            except LeaseHeld:
                return None

        with monkeypatch.context() as together, ThreadPoolExecutor(2) as owners:
            together.setattr(store, "read", read_together)
            tokens = list(owners.map(claim, range(2)))
        winner = 2 if claimed_before else 1
        assert sorted(tokens, key=str) == [winner, None]
        assert stored_claim(store).token == winner

    def test_a_write_that_was_on_its_way_when_the_job_was_taken_over_does_not_replace_what_says_that_it_is_done(
        self,
        store: ObjectStore,
    ) -> None:
        """The claim was looked at before; the put arrives minutes later, as one that botocore sends again does."""
        slow = HeldStore(store, 2)  # the claim itself is the first write
        with ThreadPoolExecutor(1) as thread:

            def work() -> None:
                with claimed(slow, KEY, DONE) as first:
                    first.finish(b"of the first")

            late = thread.submit(work)
            assert slow.waits.wait(30)
            with claimed(store, KEY, DONE) as second:
                second.finish(b"of the second")
            slow.go.set()
            with pytest.raises(Superseded):
                late.result()
        assert store.get(DONE) == b"of the second"

    def test_a_job_that_is_done_again_replaces_what_says_so(self, store: ObjectStore) -> None:
        for words in (b"first", b"second"):
            with claimed(store, KEY, DONE) as fenced:
                fenced.finish(words)
        assert store.get(DONE) == b"second"


class TestDeaths:
    def test_owners_that_die_one_after_the_other_are_counted(self, store: ObjectStore) -> None:
        for before in range(4):
            with dies(store) as fenced:
                assert fenced.claim.deaths == before
        assert deaths(store) == 4

    def test_a_worker_that_is_told_to_end_at_once_dies(self, store: ObjectStore) -> None:
        for number, error in enumerate((KeyboardInterrupt, SystemExit), 1):
            with pytest.raises(error), claimed(store, KEY, DONE) as fenced:
                raise error
            assert not stored_claim(store).released
            with dies(store) as fenced:
                assert fenced.claim.deaths == 2 * number - 1

    @pytest.mark.parametrize(
        "error", [None, ValueError("a bug"), JobInterrupted("asked to stop"), StoreUnavailable("away")], ids=str
    )
    def test_an_owner_that_left_in_good_order_ends_the_count(self, store: ObjectStore, error: Exception | None) -> None:
        for _ in range(2):
            with dies(store):
                pass
        with suppress(ValueError, JobInterrupted, StoreUnavailable), claimed(store, KEY, DONE):
            if error:
                raise error
        assert stored_claim(store).released
        assert deaths(store) == 0

    def test_an_owner_that_note_progress_ends_the_count_of_those_before_it(self, store: ObjectStore) -> None:
        for _ in range(3):
            with dies(store):
                pass
        with dies(store) as fenced:
            assert fenced.claim.deaths == 3
            fenced.note_progress()
            assert fenced.claim.deaths == stored_claim(store).deaths == 0
            fenced.put(RESULT, b"it is still the owner")
        assert deaths(store) == 1  # its own

    def test_to_get_somewhere_writes_nothing_where_nobody_died(self, store: ObjectStore) -> None:
        with claimed(store, KEY, DONE) as fenced:
            before = store.read(KEY)
            fenced.note_progress()
            assert store.read(KEY) == before


class TestFencedStore:
    def test_two_owners_of_jobs_of_one_store_share_what_is_remembered_of_it(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        with (
            claimed(store, KEY, DONE) as one,
            claimed(store, layout.claim("run", "train", "other"), f"{DONE}-other") as two,
        ):
            assert one == two
            assert hash(one) == hash(two)
        elsewhere: Any = DirectoryStore(tmp_path / "elsewhere")
        with claimed(elsewhere, KEY, DONE) as other:
            assert one != other
