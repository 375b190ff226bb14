"""One suite over both object stores, a directory and S3 over HTTP, and what each says when it can't be used."""

import errno
import itertools
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config

from shared.errors import InputError, ObjectNotFound, PreconditionFailed, StoreMisconfigured, StoreUnavailable
from shared.local.broker import free_port
from shared.settings import StoreSettings
from shared.store.directory import ABANDONED_AFTER, DirectoryStore
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from shared.store.s3 import S3Store
from shared.store.self_test import check_conditional_writes


def settings_for(store: str, endpoint: str | None = None) -> StoreSettings:
    return StoreSettings(url=store, s3_endpoint_url=endpoint)


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
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.external)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    bucket: str = request.getfixturevalue("bucket")
    request.getfixturevalue("client").put_object(Bucket=bucket, Key="runs/beside-the-prefix", Body=b"")
    return S3Store(request.getfixturevalue("client"), bucket, "some/prefix")


@pytest.mark.parametrize("data", [b"films", b"", bytes(range(256)) * 4000], ids=["short", "empty", "a megabyte"])
def test_what_was_put_is_got(store: ObjectStore, data: bytes) -> None:
    store.put("raw/mias/films/mdb001.pgm", data)
    assert store.get("raw/mias/films/mdb001.pgm") == data
    assert store.read("raw/mias/films/mdb001.pgm").data == data
    assert store.size("raw/mias/films/mdb001.pgm") == len(data)
    assert store.exists("raw/mias/films/mdb001.pgm")


def test_what_is_not_there_is_not_found_by_name(store: ObjectStore) -> None:
    assert not store.exists("raw/mias/manifest.json")
    for read in (store.get, store.read, store.size):
        with pytest.raises(ObjectNotFound, match=r"raw/mias/manifest\.json") as missing:
            read("raw/mias/manifest.json")
        assert missing.value.key == "raw/mias/manifest.json"


@pytest.mark.parametrize("key", ["raw/mias/manifest.json/below", f"raw/{'x' * 300}"], ids=["below", "long"])
def test_what_can_be_no_file_is_no_object(store: ObjectStore, key: str) -> None:
    store.put("raw/mias/manifest.json", b"{}")
    for read in (store.get, store.read, store.size):
        with pytest.raises(ObjectNotFound):
            read(key)


def test_a_prefix_is_no_object(store: ObjectStore) -> None:
    store.put("raw/mias/manifest.json", b"{}")
    assert not store.exists("raw/mias")
    for read in (store.get, store.size):
        with pytest.raises(ObjectNotFound):
            read("raw/mias")


def test_a_later_put_replaces_and_changes_the_etag(store: ObjectStore) -> None:
    store.put("key", b"long first content")
    first = store.read("key")
    store.put("key", b"second")
    second = store.read("key")
    assert (first.data, second.data) == (b"long first content", b"second")
    assert first.etag != second.etag


def test_an_etag_stays_while_the_object_does(store: ObjectStore) -> None:
    store.put("key", b"content")
    assert store.read("key").etag == store.read("key").etag


def test_a_put_returns_the_etag_that_a_read_finds(store: ObjectStore) -> None:
    first = store.put("key", b"first", if_absent=True)
    assert first == store.read("key").etag
    second = store.put("key", b"second", if_match=first)
    assert second == store.read("key").etag
    assert store.put("key", b"third") == store.read("key").etag
    assert len({first, second, store.read("key").etag}) == 3


def test_if_absent_writes_once_and_keeps_the_first(store: ObjectStore) -> None:
    store.put("runs/a/plan.json", b"first", if_absent=True)
    with pytest.raises(PreconditionFailed, match=r"runs/a/plan\.json"):
        store.put("runs/a/plan.json", b"second", if_absent=True)
    assert store.get("runs/a/plan.json") == b"first"


def test_if_absent_writes_again_after_a_delete(store: ObjectStore) -> None:
    store.put("key", b"first", if_absent=True)
    store.delete("key")
    store.put("key", b"second", if_absent=True)
    assert store.get("key") == b"second"


def test_if_match_replaces_the_version_that_was_read(store: ObjectStore) -> None:
    store.put("key", b"first")
    store.put("key", b"second", if_match=store.read("key").etag)
    assert store.get("key") == b"second"


def test_if_match_loses_against_a_writer_who_was_faster(store: ObjectStore) -> None:
    store.put("key", b"first")
    stale = store.read("key").etag
    store.put("key", b"faster")
    with pytest.raises(PreconditionFailed, match="key"):
        store.put("key", b"slower", if_match=stale)
    assert store.get("key") == b"faster"


def test_if_match_loses_where_the_object_has_gone(store: ObjectStore) -> None:
    store.put("key", b"first")
    stale = store.read("key").etag
    store.delete("key")
    with pytest.raises(PreconditionFailed):
        store.put("key", b"second", if_match=stale)
    assert not store.exists("key")


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


def test_of_16_racing_first_writers_one_wins(store: ObjectStore) -> None:
    winners = race(16, lambda number: store.put("key", b"%d" % number, if_absent=True))
    assert len(winners) == 1
    assert store.get("key") == b"%d" % winners[0]


def test_of_16_racing_replacers_one_wins(tmp_path: Path) -> None:
    # The directory only: moto compares the etag without a lock.
    store = DirectoryStore(tmp_path)
    store.put("key", b"before")
    etag = store.read("key").etag
    winners = race(16, lambda number: store.put("key", b"%d" % number, if_match=etag))
    assert len(winners) == 1
    assert store.get("key") == b"%d" % winners[0]


def test_a_list_holds_the_keys_of_a_prefix_in_order(store: ObjectStore) -> None:
    keys = ["runs/b/plan.json", "runs/a/stages/train.json", "raw/mias/manifest.json", "runs/a/plan.json", "runs.txt"]
    for key in keys:
        store.put(key, b"")
    assert list(store.list("")) == sorted(keys)
    assert list(store.list("runs/")) == ["runs/a/plan.json", "runs/a/stages/train.json", "runs/b/plan.json"]
    assert list(store.list("runs/a/")) == ["runs/a/plan.json", "runs/a/stages/train.json"]
    assert list(store.list("models/")) == []


def test_entries_tell_when_each_object_was_written(store: ObjectStore) -> None:
    for key in ("runs/b", "runs/a", "raw/x"):
        store.put(key, b"")
    entries = list(store.entries("runs/"))
    assert [entry.key for entry in entries] == ["runs/a", "runs/b"]
    assert all(abs(time.time() - entry.modified) < 10 for entry in entries)
    assert [entry.key for entry in store.entries("")] == list(store.list(""))


def test_names_that_begin_alike_are_not_mixed_up(store: ObjectStore) -> None:
    for key in ("raw/mias/x", "raw/mias-2/x", "raw/mias.old/x"):
        store.put(key, b"")
    assert list(store.list("raw/mias/")) == ["raw/mias/x"]
    assert list(store.list("raw/")) == ["raw/mias-2/x", "raw/mias.old/x", "raw/mias/x"]


def test_more_keys_than_one_page_of_s3_are_listed(store: ObjectStore) -> None:
    keys = [f"data/{number:04d}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert list(store.list("data/")) == keys


def test_delete_removes_one_object_and_nothing_where_there_is_none(store: ObjectStore) -> None:
    store.put("runs/a", b"")
    store.put("runs/ab", b"")
    store.delete("runs/a")
    store.delete("runs/a")
    store.delete("never/was/there")
    assert list(store.list("")) == ["runs/ab"]


def test_a_reader_never_sees_half_an_object(tmp_path: Path) -> None:
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


def test_conditional_writes_are_found_to_work_and_leave_nothing_behind(store: ObjectStore) -> None:
    check_conditional_writes(store)
    assert list(store.list("")) == []


class Careless(DirectoryStore):
    """As some servers are: conditions are ignored and the answer is yes."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        return super().put(key, data)


def test_a_store_that_ignores_conditions_is_refused(tmp_path: Path) -> None:
    store = Careless(tmp_path)
    with pytest.raises(StoreMisconfigured, match="ignores If-None-Match and ignores If-Match"):
        check_conditional_writes(store)
    assert list(store.list("")) == []


def test_nothing_is_discarded_where_nothing_is_half_written(store: ObjectStore) -> None:
    store.put("runs/a", b"whole")
    assert store.discard_partial("") == 0
    assert store.discard_partial("runs/") == 0
    assert store.get("runs/a") == b"whole"


# ---- the directory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["../secret", "raw/../../secret", "/etc/hostname", "//etc/hostname", "raw/..", ".."])
def test_keys_that_leave_the_directory_are_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_text("not for you")
    store = DirectoryStore(tmp_path / "store")
    uses: list[Callable[[], object]] = [
        lambda: store.get(key),
        lambda: store.read(key),
        lambda: store.put(key, b"overwritten"),
        lambda: store.exists(key),
        lambda: list(store.list(key)),
        lambda: list(store.entries(key)),
        lambda: store.delete(key),
        lambda: store.locate(key),
    ]
    for use in uses:
        with pytest.raises(InputError, match="is not a key"):
            use()
    assert (tmp_path / "secret").read_text() == "not for you"


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'' is not a key"):
        DirectoryStore(tmp_path).put("", b"")


def test_a_put_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("key", b"first", if_absent=True)
    with pytest.raises(PreconditionFailed):
        store.put("key", b"second", if_absent=True)
    with pytest.raises(PreconditionFailed):
        store.put("key", b"second", if_match="stale")
    assert {path.name for path in (tmp_path / ".partial").iterdir()} <= {"lock"}
    assert list(store.list("")) == ["key"]


def test_a_file_that_goes_while_it_is_listed_is_left_out(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    for key in ("a", "b", "c"):
        store.put(key, b"")
    listing = store.list("")
    assert next(listing) == "a"
    store.delete("b")
    assert list(listing) == ["c"]


@pytest.fixture
def leave_partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """Begins to write an object as a process that is killed on the way does, some seconds ago."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def leave(key: str, age: float) -> None:
        store = DirectoryStore(tmp_path)
        before = partial_files(tmp_path)
        with monkeypatch.context() as killed:
            killed.setattr(os, "replace", interrupt)
            killed.setattr(os, "unlink", interrupt)
            with pytest.raises(KeyboardInterrupt):
                store.put(key, b"half")
        (left,) = partial_files(tmp_path) - before
        os.utime(left, (time.time() - age,) * 2)

    return leave


def partial_files(root: Path) -> set[Path]:
    return {path for path in (root / ".partial").iterdir() if path.name != "lock"}


def test_stale_partial_files_below_a_prefix_are_discarded(
    tmp_path: Path, leave_partial: Callable[[str, float], None]
) -> None:
    store = DirectoryStore(tmp_path)
    store.put("key", b"", if_match=store.put("key", b""))  # makes the file that replacers lock
    for key in ("runs/a/plan.json", "runs/a/film", "runs/ab/film", "raw/film", "lock"):
        leave_partial(key, ABANDONED_AFTER + 1)
    assert store.discard_partial("runs/a/") == 2
    assert len(partial_files(tmp_path)) == 3
    assert store.discard_partial("runs/a/") == 0
    assert store.discard_partial("") == 3
    assert (tmp_path / ".partial" / "lock").exists()


def test_opening_a_directory_discards_what_dead_writers_left(
    tmp_path: Path, leave_partial: Callable[[str, float], None]
) -> None:
    leave_partial("raw/film", ABANDONED_AFTER + 1)
    open_store(settings_for(str(tmp_path)))
    assert partial_files(tmp_path) == set()


def test_a_fresh_partial_file_stays_with_its_writer(
    tmp_path: Path, leave_partial: Callable[[str, float], None]
) -> None:
    leave_partial("runs/a/film", ABANDONED_AFTER - 10)
    assert DirectoryStore(tmp_path).discard_partial("runs/a/") == 0
    assert len(partial_files(tmp_path)) == 1


def test_a_long_key_can_be_written_and_its_partial_file_discarded(
    tmp_path: Path, leave_partial: Callable[[str, float], None]
) -> None:
    store = DirectoryStore(tmp_path)
    prefix = "/".join(["ä" * 120] * 4) + "/"
    store.put(f"{prefix}film", b"whole")
    leave_partial(f"{prefix}film", ABANDONED_AFTER + 1)
    assert store.discard_partial(prefix) == 1
    assert store.get(f"{prefix}film") == b"whole"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000], ids=oct)
def test_files_can_be_read_by_the_users_of_other_services_and_written_by_none(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        DirectoryStore(tmp_path).put("key", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o644


def test_a_full_disk_is_told_and_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = DirectoryStore(tmp_path)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreUnavailable, match="free some space") as trouble:
        store.put("key", b"data")
    assert trouble.value.retryable


def test_a_directory_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreMisconfigured, match="MAMMO_STORE"):
        DirectoryStore(tmp_path / "file" / "store")


# ---- from settings ---------------------------------------------------------------------------------------------------


def test_a_plain_path_opens_a_directory(tmp_path: Path) -> None:
    store = open_store(settings_for(str(tmp_path / "new" / "store")))
    store.put("raw/x", b"1")
    assert (tmp_path / "new" / "store" / "raw" / "x").read_bytes() == b"1"
    assert store.locate("raw/x") == str(tmp_path / "new" / "store" / "raw" / "x")


@pytest.mark.parametrize("prefix", ["", "/", "/films", "/films/2024/"])
def test_an_s3_address_opens_a_bucket_below_its_prefix(client: Any, bucket: str, s3_endpoint: str, prefix: str) -> None:
    store = open_store(settings_for(f"s3://{bucket}{prefix}", s3_endpoint))
    store.put("raw/x", b"1")
    whole = "/".join(part for part in (prefix.strip("/"), "raw/x") if part)
    assert client.get_object(Bucket=bucket, Key=whole)["Body"].read() == b"1"
    assert list(store.list("raw/")) == ["raw/x"]
    assert store.locate("raw/x") == f"s3://{bucket}/{whole}"


# ---- S3's errors -----------------------------------------------------------------------------------------------------


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


def test_a_bucket_that_is_not_there_is_told_by_name(client: Any) -> None:
    for use in everything(S3Store(client, "no-such-bucket")):
        with pytest.raises(StoreMisconfigured, match="no bucket 'no-such-bucket'"):
            use()


@pytest.fixture
def guarded(s3_endpoint: str, bucket: str) -> Iterator[str]:
    """The server with its check of credentials switched on: it knows no key at all."""
    requests.post(f"{s3_endpoint}/moto-api/reset-auth", data="0", timeout=5).raise_for_status()
    yield bucket
    requests.post(f"{s3_endpoint}/moto-api/reset-auth", data="inf", timeout=5).raise_for_status()


def test_wrong_credentials_are_told(client: Any, guarded: str) -> None:
    for use in probed(S3Store(client, guarded)):
        with pytest.raises(StoreMisconfigured, match="check the credentials"):
            use()


def test_missing_credentials_are_told(
    s3_endpoint: str, credentials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreMisconfigured, match="AWS_ACCESS_KEY_ID"):
        open_store(settings_for("s3://bucket", s3_endpoint)).get("key")


@pytest.mark.external
def test_a_server_that_does_not_answer_may_come_back(credentials: None) -> None:
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    address = f"http://127.0.0.1:{free_port()}"
    silent = S3Store(boto3.client("s3", endpoint_url=address, region_name="us-east-1", config=config), "bucket")
    for use in probed(silent):
        with pytest.raises(StoreUnavailable, match="MAMMO_S3_ENDPOINT_URL") as trouble:
            use()
        assert trouble.value.retryable


def test_a_bucket_name_that_can_not_be_is_told_by_the_setting(s3_endpoint: str, credentials: None) -> None:
    with pytest.raises(StoreMisconfigured, match="MAMMO_STORE"):
        open_store(settings_for("s3://Not_a_bucket", s3_endpoint)).get("key")
