"""One suite over both object stores, a directory and S3 over HTTP, and what each says when it can't be used."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config

from shared.errors import ObjectNotFound, PreconditionFailed, StoreMisconfigured, StoreUnavailable
from shared.local.broker import free_port
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from shared.store.s3 import S3Store
from shared.store.self_test import check_conditional_writes
from tests.support.stores import new_bucket, settings_for


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the credentials of another test
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client(s3_endpoint: str, credentials: None) -> Any:
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=32)
    return boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1", config=config)


@pytest.fixture
def bucket(client: Any) -> str:
    return new_bucket(client)


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.external)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    bucket: str = request.getfixturevalue("bucket")
    request.getfixturevalue("client").put_object(Bucket=bucket, Key="runs/beside-the-prefix", Body=b"")
    return S3Store(request.getfixturevalue("client"), bucket, "some/prefix")


def race(writers: int, write: Callable[[int], None]) -> list[int]:
    """The numbers of the threads whose conditional write went through."""
    start = threading.Barrier(writers)

    def attempt(number: int) -> int | None:
        start.wait()
        try:
            write(number)
        except PreconditionFailed:
            return None
        return number

    with ThreadPoolExecutor(writers) as pool:
        return [winner for winner in pool.map(attempt, range(writers)) if winner is not None]


class Careless(DirectoryStore):
    """As some servers are: conditions are ignored and the answer is yes."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        return super().put(key, data)


class TestObjectStore:
    @pytest.mark.parametrize("data", [b"films", b"", bytes(range(256)) * 4000], ids=["short", "empty", "a megabyte"])
    def test_what_was_put_is_got(self, store: ObjectStore, data: bytes) -> None:
        store.put("raw/mias/films/mdb001.pgm", data)
        assert store.get("raw/mias/films/mdb001.pgm") == data
        assert store.read("raw/mias/films/mdb001.pgm").data == data
        assert store.size("raw/mias/films/mdb001.pgm") == len(data)
        (listed,), single = store.entries("raw/mias/"), store.entry("raw/mias/films/mdb001.pgm")
        assert (listed.key, listed.size) == (single.key, single.size) == ("raw/mias/films/mdb001.pgm", len(data))
        assert listed.modified == pytest.approx(single.modified, abs=1)  # S3 states seconds in one of the two
        assert store.exists("raw/mias/films/mdb001.pgm")

    def test_what_is_not_there_is_not_found_by_name(self, store: ObjectStore) -> None:
        assert not store.exists("raw/mias/manifest.json")
        for read in (store.get, store.read, store.size, store.entry):
            with pytest.raises(ObjectNotFound, match=r"raw/mias/manifest\.json") as missing:
                read("raw/mias/manifest.json")
            assert missing.value.key == "raw/mias/manifest.json"

    @pytest.mark.parametrize("key", ["raw/mias/manifest.json/below", f"raw/{'x' * 300}"], ids=["below", "long"])
    def test_what_can_be_no_file_is_no_object(self, store: ObjectStore, key: str) -> None:
        store.put("raw/mias/manifest.json", b"{}")
        for read in (store.get, store.read, store.size, store.entry):
            with pytest.raises(ObjectNotFound):
                read(key)

    def test_a_prefix_is_no_object(self, store: ObjectStore) -> None:
        store.put("raw/mias/manifest.json", b"{}")
        assert not store.exists("raw/mias")
        for read in (store.get, store.size):
            with pytest.raises(ObjectNotFound):
                read("raw/mias")

    def test_a_later_put_replaces_and_changes_the_etag(self, store: ObjectStore) -> None:
        store.put("key", b"long first content")
        first = store.read("key")
        store.put("key", b"second")
        second = store.read("key")
        assert (first.data, second.data) == (b"long first content", b"second")
        assert first.etag != second.etag

    def test_an_etag_stays_while_the_object_does(self, store: ObjectStore) -> None:
        store.put("key", b"content")
        assert store.read("key").etag == store.read("key").etag

    def test_a_put_returns_the_etag_that_a_read_finds(self, store: ObjectStore) -> None:
        first = store.put("key", b"first", if_absent=True)
        assert first == store.read("key").etag
        second = store.put("key", b"second", if_match=first)
        assert second == store.read("key").etag
        assert store.put("key", b"third") == store.read("key").etag
        assert len({first, second, store.read("key").etag}) == 3

    def test_if_absent_writes_once_and_keeps_the_first(self, store: ObjectStore) -> None:
        store.put("runs/a/plan.json", b"first", if_absent=True)
        with pytest.raises(PreconditionFailed, match=r"runs/a/plan\.json"):
            store.put("runs/a/plan.json", b"second", if_absent=True)
        assert store.get("runs/a/plan.json") == b"first"

    def test_if_absent_writes_again_after_a_delete(self, store: ObjectStore) -> None:
        store.put("key", b"first", if_absent=True)
        store.delete("key")
        store.put("key", b"second", if_absent=True)
        assert store.get("key") == b"second"

    def test_if_match_replaces_the_version_that_was_read(self, store: ObjectStore) -> None:
        store.put("key", b"first")
        store.put("key", b"second", if_match=store.read("key").etag)
        assert store.get("key") == b"second"

    def test_if_match_loses_against_a_writer_who_was_faster(self, store: ObjectStore) -> None:
        store.put("key", b"first")
        stale = store.read("key").etag
        store.put("key", b"faster")
        with pytest.raises(PreconditionFailed, match="key"):
            store.put("key", b"slower", if_match=stale)
        assert store.get("key") == b"faster"

    def test_if_match_loses_where_the_object_has_gone(self, store: ObjectStore) -> None:
        store.put("key", b"first")
        stale = store.read("key").etag
        store.delete("key")
        with pytest.raises(PreconditionFailed):
            store.put("key", b"second", if_match=stale)
        assert not store.exists("key")

    def test_of_16_racing_first_writers_one_wins(self, store: ObjectStore) -> None:
        winners = race(16, lambda number: store.put("key", b"%d" % number, if_absent=True))
        assert len(winners) == 1
        assert store.get("key") == b"%d" % winners[0]

    def test_of_16_racing_replacers_one_wins(self, tmp_path: Path) -> None:
        # The directory only: moto compares the etag without a lock.
        store = DirectoryStore(tmp_path)
        store.put("key", b"before")
        etag = store.read("key").etag
        winners = race(16, lambda number: store.put("key", b"%d" % number, if_match=etag))
        assert len(winners) == 1
        assert store.get("key") == b"%d" % winners[0]

    def test_a_list_holds_the_keys_of_a_prefix_in_order(self, store: ObjectStore) -> None:
        keys = [
            "runs/b/plan.json",
            "runs/a/stages/train.json",
            "raw/mias/manifest.json",
            "runs/a/plan.json",
            "runs.txt",
        ]
        for key in keys:
            store.put(key, b"")
        assert list(store.list("")) == sorted(keys)
        assert list(store.list("runs/")) == ["runs/a/plan.json", "runs/a/stages/train.json", "runs/b/plan.json"]
        assert list(store.list("runs/a/")) == ["runs/a/plan.json", "runs/a/stages/train.json"]
        assert list(store.list("models/")) == []

    def test_entries_tell_when_each_object_was_written(self, store: ObjectStore) -> None:
        for key in ("runs/b", "runs/a", "raw/x"):
            store.put(key, b"")
        entries = list(store.entries("runs/"))
        assert [entry.key for entry in entries] == ["runs/a", "runs/b"]
        assert all(abs(time.time() - entry.modified) < 10 for entry in entries)
        assert [entry.key for entry in store.entries("")] == list(store.list(""))

    def test_names_that_begin_alike_are_not_mixed_up(self, store: ObjectStore) -> None:
        for key in ("raw/mias/x", "raw/mias-2/x", "raw/mias.old/x"):
            store.put(key, b"")
        assert list(store.list("raw/mias/")) == ["raw/mias/x"]
        assert list(store.list("raw/")) == ["raw/mias-2/x", "raw/mias.old/x", "raw/mias/x"]

    def test_more_keys_than_one_page_of_s3_are_listed(self, store: ObjectStore) -> None:
        keys = [f"data/{number:04d}" for number in range(1005)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.put(key, b""), keys))
        assert list(store.list("data/")) == keys

    def test_delete_removes_one_object_and_nothing_where_there_is_none(self, store: ObjectStore) -> None:
        store.put("runs/a", b"")
        store.put("runs/ab", b"")
        store.delete("runs/a")
        store.delete("runs/a")
        store.delete("never/was/there")
        assert list(store.list("")) == ["runs/ab"]

    def test_a_reader_never_sees_half_an_object(self, tmp_path: Path) -> None:
        # The directory only: to S3 a put is one request, and moto answers 500 to who reads during an overwrite.
        store = DirectoryStore(tmp_path)
        versions = [bytes([number]) * 2_000_000 for number in range(2)]
        store.put("key", versions[0])
        written = threading.Event()

        def overwrite() -> None:
            for version in itertools.islice(itertools.cycle(versions), 50):
                store.put("key", version)
            written.set()

        writer = threading.Thread(target=overwrite)
        writer.start()
        seen = set()
        while not written.is_set():
            seen.add(store.get("key"))
        writer.join()
        assert seen <= set(versions)

    def test_conditional_writes_are_found_to_work_and_leave_nothing_behind(self, store: ObjectStore) -> None:
        check_conditional_writes(store)
        assert list(store.list("")) == []

    def test_a_store_that_ignores_conditions_is_refused(self, tmp_path: Path) -> None:
        store = Careless(tmp_path)
        with pytest.raises(StoreMisconfigured, match="ignores If-None-Match and ignores If-Match"):
            check_conditional_writes(store)
        assert list(store.list("")) == []

    def test_nothing_is_discarded_where_nothing_is_half_written(self, store: ObjectStore) -> None:
        store.put("runs/a", b"whole")
        assert store.discard_partial("") == 0
        assert store.discard_partial("runs/") == 0
        assert store.get("runs/a") == b"whole"


class TestOpenStore:
    def test_a_plain_path_opens_a_directory(self, tmp_path: Path) -> None:
        store = open_store(settings_for(str(tmp_path / "new" / "store")))
        store.put("raw/x", b"1")
        assert (tmp_path / "new" / "store" / "raw" / "x").read_bytes() == b"1"
        assert store.locate("raw/x") == str(tmp_path / "new" / "store" / "raw" / "x")

    @pytest.mark.parametrize("prefix", ["", "/", "/films", "/films/2024/"])
    def test_an_s3_address_opens_a_bucket_below_its_prefix(
        self, client: Any, bucket: str, s3_endpoint: str, prefix: str
    ) -> None:
        store = open_store(settings_for(f"s3://{bucket}{prefix}", s3_endpoint))
        store.put("raw/x", b"1")
        whole = "/".join(part for part in (prefix.strip("/"), "raw/x") if part)
        assert client.get_object(Bucket=bucket, Key=whole)["Body"].read() == b"1"
        assert list(store.list("raw/")) == ["raw/x"]
        assert store.locate("raw/x") == f"s3://{bucket}/{whole}"


def everything(store: ObjectStore) -> list[Callable[[], object]]:
    return [
        lambda: store.get("key"),
        lambda: store.read("key"),
        lambda: store.put("key", b""),
        lambda: store.put("key", b"", if_absent=True),
        lambda: list(store.list("")),
        lambda: store.delete("key"),
        lambda: store.discard_partial(""),
    ]


def probed(store: ObjectStore) -> list[Callable[[], object]]:
    return [*everything(store), lambda: store.exists("key"), lambda: store.size("key")]


@pytest.fixture
def guarded(s3_endpoint: str, bucket: str) -> Iterator[str]:
    """The server with its check of credentials switched on: it knows no key at all."""
    requests.post(f"{s3_endpoint}/moto-api/reset-auth", data="0", timeout=5).raise_for_status()
    yield bucket
    requests.post(f"{s3_endpoint}/moto-api/reset-auth", data="inf", timeout=5).raise_for_status()


class TestS3Errors:
    def test_a_bucket_that_is_not_there_is_told_by_name(self, client: Any) -> None:
        for use in everything(S3Store(client, "no-such-bucket")):
            with pytest.raises(StoreMisconfigured, match="no bucket 'no-such-bucket'"):
                use()

    def test_wrong_credentials_are_told(self, client: Any, guarded: str) -> None:
        for use in probed(S3Store(client, guarded)):
            with pytest.raises(StoreMisconfigured, match="check the credentials"):
                use()

    def test_missing_credentials_are_told(
        self, s3_endpoint: str, credentials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        with pytest.raises(StoreMisconfigured, match="AWS_ACCESS_KEY_ID"):
            open_store(settings_for("s3://bucket", s3_endpoint)).get("key")

    @pytest.mark.external
    def test_a_server_that_does_not_answer_may_come_back(self, credentials: None) -> None:
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
        address = f"http://127.0.0.1:{free_port()}"
        silent = S3Store(boto3.client("s3", endpoint_url=address, region_name="us-east-1", config=config), "bucket")
        for use in probed(silent):
            with pytest.raises(StoreUnavailable, match="MAMMO_S3_ENDPOINT_URL") as trouble:
                use()
            assert trouble.value.retryable

    def test_a_bucket_name_that_can_not_be_is_told_by_the_setting(self, s3_endpoint: str, credentials: None) -> None:
        with pytest.raises(StoreMisconfigured, match="MAMMO_STORE"):
            open_store(settings_for("s3://Not_a_bucket", s3_endpoint)).get("key")
