"""The object store on S3 or a compatible server, by boto3.

Known errors are translated at this edge; whatever is not known passes unchanged.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore import handlers
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ResponseStreamingError,
)

from shared import metrics
from shared.addresses import is_loopback
from shared.errors import (
    ObjectNotFound,
    PreconditionFailed,
    StoreMisconfigured,
    StoreUnavailable,
    StoreUnsupported,
)
from shared.settings import StoreSettings
from shared.store.interface import ObjectEntry, StoredObject

LARGE = 64 * 2**20  # bytes; a larger object goes up in parts
ATTEMPTS = 5  # at one request; botocore waits between them, longer each time and by chance
READ_TIMEOUT = 60.0

_PARTS = TransferConfig(multipart_chunksize=16 * 2**20, max_concurrency=4)  # 64 MiB beside the object itself
_TROUBLE = (ConnectionError, FlexibleChecksumError, HTTPClientError, IncompleteReadError, ResponseStreamingError)
_REFUSED = {"AccessDenied", "Forbidden", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestTimeTooSkewed", "InternalError"}
_OVERTAKEN = {"ConditionalRequestConflict", "NoSuchUpload"}  # by another write in flight; by who discarded the parts
_UNCONDITIONAL = {"InvalidArgument", "InvalidRequest", "MethodNotAllowed"}
"""What servers answer to the condition of a write that they do not know, where it is not 501."""
_FULL = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"}


class S3Store:
    """Objects below `prefix` of one bucket."""

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> "S3Store":
        """Open a bucket; credentials are found by boto3.

        They come from the environment, a profile, or the role of the instance or pod.
        """
        address, endpoint = urlsplit(settings.url), urlsplit(settings.s3_endpoint_url or "")
        config = Config(
            connect_timeout=5,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=32,
            user_agent=f"mammostack boto3/{boto3.__version__}",  # botocore would put one together twice a request
            parameter_validation=False,  # ours are of the right types
            request_checksum_calculation=settings.s3_checksums,
            response_checksum_validation=settings.s3_checksums,
            proxies={} if is_loopback(endpoint.hostname or "") else None,  # no proxy reaches loopback
        )
        try:
            client = boto3.client(
                "s3", endpoint_url=settings.s3_endpoint_url or None, region_name=settings.s3_region, config=config
            )
        except ValueError as error:
            raise StoreMisconfigured("MAMMO_S3_ENDPOINT_URL can't be used; give http(s)://HOST[:PORT]") from error
        for kind in (StoreUnavailable, StoreMisconfigured, StoreUnsupported):
            metrics.STORE_ERRORS.labels(kind.code)  # 0 is there from the start, so that the first error is seen
        _spare(client)
        client.meta.events.register("needs-retry.s3", _count_attempt)
        return cls(client, address.netloc, address.path)

    def read(self, key: str) -> StoredObject:
        with self._translated(key):
            response = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            return StoredObject(response["Body"].read(), response["ETag"])

    def get(self, key: str) -> bytes:
        return self.read(key).data

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        conditions = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match is not None else {}
        try:
            with self._translated(key):
                if len(data) > LARGE and not conditions:
                    return self._put_in_parts(self._prefix + key, data)
                response = self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data, **conditions)
                return str(response["ETag"])
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if conditions and code in _UNCONDITIONAL:
                raise self._unsupported(key, code) from error
            raise
        except ObjectNotFound:  # S3's answer to If-Match where there is nothing
            raise PreconditionFailed(f"{key}: another process has deleted it meanwhile; try again") from None
        except PreconditionFailed as refusal:
            if _was_retried(refusal):  # what is in the way may be ours, by an attempt whose answer was lost
                with suppress(ObjectNotFound):
                    stored = self.read(key)
                    if stored.data == data:
                        return stored.etag
            raise

    def _put_in_parts(self, whole_key: str, data: bytes) -> str:
        self._client.upload_fileobj(io.BytesIO(data), self._bucket, whole_key, Config=_PARTS)
        return str(self._client.head_object(Bucket=self._bucket, Key=whole_key)["ETag"])

    def exists(self, key: str) -> bool:
        try:
            with self._translated(key):
                self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        except ObjectNotFound:
            return False
        return True

    def size(self, key: str) -> int:
        return self.entry(key).size

    def entry(self, key: str) -> ObjectEntry:
        with self._translated(key):
            head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        return ObjectEntry(key, head["LastModified"].timestamp(), int(head["ContentLength"]))

    def entries(self, prefix: str) -> Iterator[ObjectEntry]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        with self._translated(prefix):
            for page in pages:
                for item in page.get("Contents", ()):
                    key = item["Key"].removeprefix(self._prefix)
                    yield ObjectEntry(key, item["LastModified"].timestamp(), int(item["Size"]))

    def list(self, prefix: str) -> Iterator[str]:
        return (entry.key for entry in self.entries(prefix))

    def delete(self, key: str) -> None:
        with self._translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def discard_partial(self, prefix: str) -> int:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        with self._translated(prefix):
            try:
                uploads = [upload for page in pages for upload in page.get("Uploads", ())]
            except ClientError as error:
                if error.response["Error"]["Code"] in {"NotImplemented", "MethodNotAllowed"}:
                    return 0
                raise
            for upload in uploads:
                with suppress(self._client.exceptions.NoSuchUpload):  # the answer to a first attempt was lost
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
        return len(uploads)

    def locate(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Convert errors of boto3 to errors of the store, and count failures."""
        try:
            with self._in_our_terms(key):
                yield
        except (StoreUnavailable, StoreMisconfigured) as error:
            metrics.STORE_ERRORS.labels(error.code).inc()
            raise

    @contextmanager
    def _in_our_terms(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._meaning(key, error) from error
        except NoCredentialsError as error:
            raise StoreMisconfigured(
                "no credentials for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or assign a role to "
                "the machine"
            ) from error
        except _TROUBLE as error:
            raise StoreUnavailable(f"{self.locate(key)}: {error}; check MAMMO_S3_ENDPOINT_URL") from error
        except BotoCoreError as error:
            raise StoreMisconfigured(f"MAMMO_STORE or MAMMO_S3_ENDPOINT_URL is invalid: {error}") from error

    def _meaning(self, key: str, error: ClientError) -> Exception:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in {"NoSuchKey", "404", "NotFound"}:
            return ObjectNotFound(key)
        if code in {"PreconditionFailed", "412"}:
            return PreconditionFailed(f"{key}: another process has written it meanwhile; try again")
        if misconfigured := self._misconfigured(key, code, status):
            return misconfigured
        if code in _BUSY | _OVERTAKEN | _FULL or status >= 500 or status == 429:
            advice = "free some space on the server" if code in _FULL or status == 507 else "try again later"
            return StoreUnavailable(f"{self.locate(key)}: {code or status}; {advice}")
        return error

    def _misconfigured(self, key: str, code: str, status: int) -> StoreMisconfigured | None:
        """Return the error of a wrong setting, permission or server, if it is one."""
        if code == "NoSuchBucket":
            return StoreMisconfigured(f"there is no bucket '{self._bucket}'; create it or correct MAMMO_STORE")
        if code in _REFUSED:
            return StoreMisconfigured(
                f"{self.locate(key)}: {code}; check the credentials (AWS_ACCESS_KEY_ID) and the bucket's policy"
            )
        if status == 501 or code == "NotImplemented":
            return self._unsupported(key, code or str(status))
        return None

    def _unsupported(self, key: str, code: str) -> StoreUnsupported:
        return StoreUnsupported(
            f"{self.locate(key)}: the server does not implement this ({code}); use another S3 server"
        )


def _spare(client: Any) -> None:
    """Remove handlers from PUT and GET that this store does not need.

    Together with the client's options this saves a fifth of botocore's time.
    """
    events = client.meta.events
    # A file goes out in pieces of 16 KB, when the server has said "100 Continue"; bytes go at once, and unasked for.
    as_file = handlers.convert_body_to_file_like_object
    events.unregister("before-parameter-build.s3.PutObject", as_file)
    events.register("before-parse.s3.GetObject", _leave_date)


def _leave_date(response_dict: dict[str, Any], **_: object) -> None:
    """Leave the date of a read object unparsed: it is unused, and dateutil is slow."""
    response_dict["headers"].pop("last-modified", None)


def _count_attempt(attempts: int, **_: object) -> None:
    """Count attempts; botocore calls it after each one to decide on a retry."""
    if attempts > 1:
        metrics.STORE_RETRIES.inc()


def _was_retried(refusal: PreconditionFailed) -> bool:
    """Return True if botocore sent the request more than once."""
    error = refusal.__cause__
    return isinstance(error, ClientError) and error.response["ResponseMetadata"]["RetryAttempts"] > 0
