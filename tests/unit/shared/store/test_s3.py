"""The store on S3 when the server or the way to it fails, over HTTP: what is retried, and what is said in the end."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import boto3
import pytest
from botocore.retries.standard import ExponentialBackoff
from prometheus_client import REGISTRY

from shared.errors import ObjectNotFound, PreconditionFailed, StoreMisconfigured, StoreUnavailable, StoreUnsupported
from shared.settings import StoreSettings
from shared.store import s3
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from shared.store.self_test import check_conditional_writes
from tests.support.servers import Fault, FaultyS3
from tests.support.stores import new_bucket

pytestmark = pytest.mark.external

Use = Callable[[ObjectStore], object]
Checksums = Literal["when_required", "when_supported"]


@pytest.fixture(scope="module")
def running() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    return boto3.Session("test", "test")


@pytest.fixture(scope="module")
def client(session: boto3.Session, running: FaultyS3) -> Any:
    return session.client("s3", endpoint_url=running.url, region_name="us-east-1")


@pytest.fixture
def bucket(client: Any) -> str:
    return new_bucket(client)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long botocore would have waited before each retry, at most; it doesn't wait at all."""
    longest: list[float] = []
    real = ExponentialBackoff.delay_amount

    def delay_amount(self: ExponentialBackoff, context: Any) -> float:
        monkeypatch.setattr(self, "_random", lambda: 1.0)
        longest.append(real(self, context))
        return 0.0

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", delay_amount)
    return longest


@pytest.fixture
def server(
    running: FaultyS3, session: boto3.Session, bucket: str, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyS3]:
    """The server with its bucket, still without a fault."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    running.requests.clear()
    yield running
    running.fault = None


@pytest.fixture
def store(server: FaultyS3, bucket: str) -> ObjectStore:
    return store_of(server, bucket)


def store_of(server: FaultyS3, bucket: str, checksums: Checksums = "when_required") -> ObjectStore:
    return open_store(
        StoreSettings(
            url=f"s3://{bucket}/some/prefix",
            s3_endpoint_url=server.url,
            s3_checksums=checksums,
        )
    )


def times(count: int, fault: Fault, method: str | None = None) -> Callable[[str, str], Fault | None]:
    """The fault on the first `count` requests (by `method`, if given); those that follow are well."""
    left = iter([fault] * count)
    return lambda used, _path: next(left, None) if method in {None, used} else None


def always(fault: Fault) -> Callable[[str, str], Fault]:
    return lambda _method, _path: fault


USES: dict[str, Use] = {
    "GET": lambda store: store.get("key"),
    "PUT": lambda store: store.put("key", b"data"),
    "HEAD": lambda store: store.exists("key"),
    "LIST": lambda store: list(store.list("")),
    "DELETE": lambda store: store.delete("key"),
}

PASSING = {
    "500": Fault(status=500, code="InternalError"),
    "502": Fault(status=502),
    "503": Fault(status=503, code="SlowDown"),
    "504": Fault(status=504),
    "429": Fault(status=429, code="TooManyRequests"),
    "dropped": Fault(drop="before"),
    "answer lost": Fault(drop="after"),
}


class TestRetries:
    @pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
    def test_trouble_that_passes_is_not_noticed(self, server: FaultyS3, store: ObjectStore, fault: Fault) -> None:
        store.put("key", b"data")
        for operation, use in USES.items():
            server.requests.clear()
            server.fault = times(s3.ATTEMPTS - 1, fault)
            use(store)
            assert server.requests == {operation: s3.ATTEMPTS}

    @pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
    def test_trouble_that_lasts_is_told_after_all_attempts(
        self, server: FaultyS3, store: ObjectStore, fault: Fault
    ) -> None:
        server.fault = always(fault)
        for operation, use in USES.items():
            server.requests.clear()
            with pytest.raises(StoreUnavailable, match="some/prefix/") as trouble:
                use(store)
            assert trouble.value.retryable
            assert server.requests == {operation: s3.ATTEMPTS}

    @pytest.mark.parametrize(
        ("fault", "growing"), [(PASSING["dropped"], [0.05, 0.1, 0.2, 0.4]), (PASSING["503"], [1, 2, 4, 8])]
    )
    def test_each_wait_may_be_twice_as_long_and_longer_where_the_server_throttles(
        self, server: FaultyS3, store: ObjectStore, waits: list[float], fault: Fault, growing: list[float]
    ) -> None:
        server.fault = always(fault)
        with pytest.raises(StoreUnavailable):
            store.get("key")
        assert waits == pytest.approx(growing)

    def test_a_server_that_takes_too_long_is_asked_again(
        self, server: FaultyS3, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3, "READ_TIMEOUT", 0.3)
        store = store_of(server, bucket)
        store.put("key", b"data")
        for operation, use in USES.items():
            server.requests.clear()
            server.fault = times(1, Fault(delay=0.6))
            use(store)
            assert server.requests == {operation: 2}

    def test_a_server_that_is_always_too_slow_is_told(
        self, server: FaultyS3, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3, "READ_TIMEOUT", 0.1)
        server.fault = always(Fault(delay=0.3))
        with pytest.raises(StoreUnavailable, match="timeout"):
            store_of(server, bucket).get("key")
        assert server.requests == {"GET": s3.ATTEMPTS}

    def test_a_server_that_stops_and_comes_back_has_kept_its_objects(
        self, server: FaultyS3, store: ObjectStore
    ) -> None:
        store.put("key", b"data")
        server.stop()
        try:
            for use in USES.values():
                with pytest.raises(StoreUnavailable, match="MAMMO_S3_ENDPOINT_URL"):
                    use(store)
        finally:
            server.start()
        assert store.get("key") == b"data"

    def test_a_server_that_dies_during_a_request_is_told(self, server: FaultyS3, store: ObjectStore) -> None:
        server.fault = always(Fault(delay=60))
        try:
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(store.get, "key")
                while not server.requests:
                    time.sleep(0.01)
                server.stop()
            with pytest.raises(StoreUnavailable):
                answer.result()
            assert server.requests == {"GET": 1}  # the other attempts have met nobody
        finally:
            server.start()

    @pytest.mark.parametrize("checksums", ["when_required", "when_supported"])
    def test_an_object_is_never_cut_short(self, server: FaultyS3, bucket: str, checksums: Checksums) -> None:
        store = store_of(server, bucket, checksums)
        store.put("key", bytes(1_000_000))
        server.fault = times(1, Fault(cut=True))
        with pytest.raises(StoreUnavailable):
            store.get("key")
        assert store.get("key") == bytes(1_000_000)

    def test_an_object_that_arrives_damaged_may_be_read_again(self, server: FaultyS3, bucket: str) -> None:
        store = store_of(server, bucket, "when_supported")
        store.put("key", b"data")
        server.fault = times(1, Fault(damaged=True))
        with pytest.raises(StoreUnavailable, match="checksum"):
            store.get("key")
        assert store.get("key") == b"data"

    def test_a_list_that_breaks_off_is_asked_for_again(self, server: FaultyS3, store: ObjectStore) -> None:
        keys = [f"data/{number:02d}" for number in range(20)]
        for key in keys:
            store.put(key, b"")
        server.fault = times(1, Fault(cut=True))
        assert list(store.list("")) == keys
        assert server.requests["LIST"] == 2

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(status=507, code="XMinioStorageFull"),
            Fault(status=507, code="InsufficientStorage"),
            Fault(status=403, code="QuotaExceeded"),
        ],
        ids=lambda fault: fault.code,
    )
    def test_a_full_server_is_told_and_may_pass(self, server: FaultyS3, store: ObjectStore, fault: Fault) -> None:
        server.fault = lambda method, _path: fault if method == "PUT" else None
        with pytest.raises(StoreUnavailable, match="free some space") as trouble:
            store.put("key", b"data")
        assert trouble.value.retryable
        assert not store.exists("key")


LACKS = {
    "ignores": lambda header: Fault(without=header),
    "does not implement": lambda _header: Fault(status=501, code="NotImplemented"),
    "refuses every write by": lambda _header: Fault(status=412, code="PreconditionFailed"),
}


LACKS_IN_OTHER_WORDS = {
    "InvalidArgument": Fault(status=400, code="InvalidArgument"),
    "InvalidRequest": Fault(status=400, code="InvalidRequest"),
    "MethodNotAllowed": Fault(status=405, code="MethodNotAllowed"),
}


class TestConfigurationErrors:
    def test_refused_access_is_told_at_once(self, server: FaultyS3, store: ObjectStore) -> None:
        server.fault = always(Fault(status=403, code="AccessDenied"))
        for use in USES.values():
            with pytest.raises(StoreMisconfigured, match=r"credentials \(AWS_ACCESS_KEY_ID\) and the bucket's policy"):
                use(store)
        assert server.requests == dict.fromkeys(USES, 1)

    def test_a_large_object_is_refused_as_what_it_is_though_it_was_not_announced(
        self, server: FaultyS3, store: ObjectStore
    ) -> None:
        server.fault = always(Fault(status=403, code="AccessDenied"))
        with pytest.raises(StoreMisconfigured, match=r"AWS_ACCESS_KEY_ID"):
            store.put("key", bytes(30_000_000))
        assert server.requests == {"PUT": 1}

    def test_a_missing_bucket_is_told_at_once(self, server: FaultyS3) -> None:
        store = store_of(server, "no-such-bucket")
        for operation in ("GET", "PUT", "LIST", "DELETE"):
            with pytest.raises(StoreMisconfigured, match="MAMMO_STORE"):
                USES[operation](store)
        assert server.requests == dict.fromkeys(("GET", "PUT", "LIST", "DELETE"), 1)

    def test_a_missing_object_is_told_at_once(self, server: FaultyS3, store: ObjectStore) -> None:
        with pytest.raises(ObjectNotFound):
            store.get("key")
        assert server.requests == {"GET": 1}

    @pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
    @pytest.mark.parametrize("code", LACKS_IN_OTHER_WORDS)
    def test_a_server_that_takes_a_condition_for_an_error_is_refused_in_the_same_words(
        self, server: FaultyS3, store: ObjectStore, header: str, code: str
    ) -> None:
        server.fault = lambda _method, _path: LACKS_IN_OTHER_WORDS[code] if header in server.headers else None
        with pytest.raises(StoreMisconfigured, match=f"does not implement {header}, so runs"):
            check_conditional_writes(store)

    @pytest.mark.parametrize(
        "headers", [("If-None-Match",), ("If-Match",), ("If-None-Match", "If-Match")], ids=" ".join
    )
    @pytest.mark.parametrize(("words", "fault"), LACKS.items(), ids=LACKS)
    def test_a_server_that_lacks_a_condition_is_refused_in_words_that_name_it(
        self,
        server: FaultyS3,
        store: ObjectStore,
        headers: tuple[str, ...],
        words: str,
        fault: Callable[[str], Fault],
        waits: list[float],
    ) -> None:
        def lacking(method: str, path: str) -> Fault | None:
            sent = next((header for header in headers if header in server.headers), None)
            return fault(sent) if sent else None

        server.fault = lacking
        told = " and ".join(f"{words} {header}" for header in headers)
        with pytest.raises(StoreMisconfigured, match=f"MAMMO_STORE {told}, so runs"):
            check_conditional_writes(store)
        assert waits == []
        assert list(store.list("")) == []

    @pytest.mark.parametrize("code", ["NotImplemented", ""])
    def test_what_a_server_does_not_implement_is_not_waited_for(
        self, server: FaultyS3, store: ObjectStore, code: str
    ) -> None:
        server.fault = always(Fault(status=501, code=code))
        with pytest.raises(StoreUnsupported, match="the server does not implement this"):
            store.put("key", b"data")
        assert server.requests == {"PUT": 1}


class TestRequests:
    def test_an_object_is_sent_without_asking_first_by_one_who_says_who_he_is(
        self, server: FaultyS3, store: ObjectStore
    ) -> None:
        store.put("key", bytes(1_000_000))
        assert server.headers["Content-Length"] == "1000000"
        assert "Expect" not in server.headers
        assert server.headers["User-Agent"].startswith("mammostack boto3/")


class TestConditionalWrites:
    def test_a_first_write_whose_answer_is_lost_has_gone_through(self, server: FaultyS3, store: ObjectStore) -> None:
        server.fault = times(1, Fault(drop="after"), "PUT")
        etag = store.put("key", b"ours", if_absent=True)
        assert server.requests == {"PUT": 2, "GET": 1}
        assert (store.read("key").data, store.read("key").etag) == (b"ours", etag)

    def test_a_replacement_whose_answer_is_lost_has_gone_through(self, server: FaultyS3, store: ObjectStore) -> None:
        before = store.put("key", b"before")
        server.fault = times(1, Fault(drop="after"), "PUT")
        etag = store.put("key", b"ours", if_match=before)
        assert (store.read("key").data, store.read("key").etag) == (b"ours", etag)

    def test_the_self_test_passes_when_an_answer_is_lost(self, server: FaultyS3, store: ObjectStore) -> None:
        server.fault = times(1, Fault(drop="after"), "PUT")
        check_conditional_writes(store)

    def test_a_retry_that_meets_another_writer_has_lost(self, server: FaultyS3, store: ObjectStore) -> None:
        before = store.put("key", b"theirs")
        for condition in ({"if_absent": True}, {"if_match": "stale"}):
            server.fault = times(1, Fault(drop="before"), "PUT")
            with pytest.raises(PreconditionFailed, match="key"):
                store.put("key", b"ours", **condition)
        assert store.read("key").etag == before

    def test_a_retry_that_lost_against_an_object_since_deleted_has_lost(
        self, server: FaultyS3, store: ObjectStore
    ) -> None:
        faults = iter([Fault(drop="before"), Fault(status=412, code="PreconditionFailed")])
        server.fault = lambda _method, _path: next(faults, None)
        with pytest.raises(PreconditionFailed):
            store.put("key", b"ours", if_absent=True)
        assert server.requests == {"PUT": 2, "GET": 1}

    def test_without_a_retry_equal_bytes_are_somebody_else_s(self, server: FaultyS3, store: ObjectStore) -> None:
        store.put("key", b"equal")
        server.requests.clear()
        with pytest.raises(PreconditionFailed):
            store.put("key", b"equal", if_absent=True)
        with pytest.raises(PreconditionFailed):
            store.put("key", b"equal", if_match="stale")
        assert server.requests == {"PUT": 2}

    @pytest.mark.parametrize("condition", [{"if_absent": True}, {"if_match": "any"}], ids=["if absent", "if match"])
    def test_a_conditional_write_that_met_another_in_flight_may_be_tried_again(
        self, server: FaultyS3, store: ObjectStore, condition: dict[str, Any]
    ) -> None:
        server.fault = always(Fault(status=409, code="ConditionalRequestConflict"))
        with pytest.raises(StoreUnavailable, match="try again") as trouble:
            store.put("key", b"", **condition)
        assert trouble.value.retryable


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """An object of two parts."""
    monkeypatch.setattr(s3, "LARGE", 16 * 2**20)
    return bytes(range(256)) * 2**16 + b"the second part"


def uploads(client: Any, bucket: str) -> list[str]:
    return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


class TestLargeObjects:
    def test_a_large_object_goes_up_in_parts(self, server: FaultyS3, store: ObjectStore, large: bytes) -> None:
        etag = store.put("key", large)
        assert server.requests == {"POST": 2, "PUT": 2, "HEAD": 1}
        assert (store.read("key").data, store.read("key").etag) == (large, etag)

    def test_a_large_object_with_a_condition_is_one_request(
        self, server: FaultyS3, store: ObjectStore, large: bytes
    ) -> None:
        etag = store.put("key", large, if_absent=True)
        store.put("key", large, if_match=etag)
        assert server.requests == {"PUT": 2}

    def test_a_part_that_fails_is_sent_again(self, server: FaultyS3, store: ObjectStore, large: bytes) -> None:
        server.fault = times(2, Fault(status=503, code="SlowDown"), "PUT")
        store.put("key", large)
        assert server.requests["PUT"] == 4
        assert store.get("key") == large

    def test_a_large_object_that_fails_leaves_no_parts_behind(
        self, server: FaultyS3, store: ObjectStore, large: bytes, client: Any, bucket: str
    ) -> None:
        server.fault = lambda method, _path: Fault(status=507, code="XMinioStorageFull") if method == "PUT" else None
        with pytest.raises(StoreUnavailable, match="free some space"):
            store.put("key", large)
        assert server.requests["DELETE"] == 1
        assert uploads(client, bucket) == []
        assert not store.exists("key")

    def test_parts_that_were_discarded_meanwhile_may_be_sent_again(
        self, server: FaultyS3, store: ObjectStore, large: bytes
    ) -> None:
        server.fault = lambda method, _path: Fault(status=404, code="NoSuchUpload") if method == "PUT" else None
        with pytest.raises(StoreUnavailable, match="try again"):
            store.put("key", large)

    def test_unfinished_uploads_below_a_prefix_are_discarded(
        self, server: FaultyS3, store: ObjectStore, client: Any, bucket: str
    ) -> None:
        for key in ("some/prefix/runs/a/x", "some/prefix/runs/a/y", "some/prefix/runs/ab/x", "runs/a/x"):
            upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
            client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"half")
        server.fault = times(1, Fault(drop="after"), "DELETE")
        assert store.discard_partial("runs/a/") == 2
        assert sorted(uploads(client, bucket)) == ["runs/a/x", "some/prefix/runs/ab/x"]
        assert store.discard_partial("runs/a/") == 0

    @pytest.mark.parametrize(
        "fault",
        [Fault(status=501, code="NotImplemented"), Fault(status=405, code="MethodNotAllowed")],
        ids=["501", "405"],
    )
    def test_a_server_that_lists_no_uploads_has_none_to_discard(
        self, server: FaultyS3, store: ObjectStore, fault: Fault
    ) -> None:
        server.fault = always(fault)
        assert store.discard_partial("runs/") == 0

    def test_attempts_and_calls_that_fail_are_counted(
        self, store: ObjectStore, running: FaultyS3, waits: list[float]
    ) -> None:
        def counted(name: str, **labels: str) -> float:
            return REGISTRY.get_sample_value(name, labels) or 0.0

        retries = counted("mammo_store_retries_total")
        failed = counted("mammo_store_errors_total", meaning="store-unavailable")
        running.fault = lambda *_: Fault(status=503, code="SlowDown")
        try:
            with pytest.raises(StoreUnavailable):
                store.get("raw/x")
        finally:
            running.fault = None
        assert counted("mammo_store_retries_total") == retries + s3.ATTEMPTS - 1
        assert counted("mammo_store_errors_total", meaning="store-unavailable") == failed + 1
