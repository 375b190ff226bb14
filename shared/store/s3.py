"""The object store on S3 or a compatible server, by boto3.

Known errors are translated at this edge; whatever is not known passes unchanged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ResponseStreamingError,
)

from shared.errors import ObjectNotFound, PreconditionFailed, StoreMisconfigured, StoreUnavailable
from shared.settings import Settings
from shared.store.objects import Stored

_TROUBLE = (ConnectionError, HTTPClientError, IncompleteReadError, ResponseStreamingError)
_REFUSED = {"AccessDenied", "Forbidden", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestTimeTooSkewed", "InternalError"}


class S3Store:
    """Objects below `prefix` of one bucket."""

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @classmethod
    def from_settings(cls, settings: Settings) -> "S3Store":
        """Credentials come the usual ways of boto3: environment, profile, instance or pod role."""
        address = urlsplit(settings.store)
        if not address.netloc:
            raise StoreMisconfigured(f"MAMMO_STORE is '{settings.store}', which names no bucket; give s3://BUCKET")
        config = Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 5},
            max_pool_connections=32,
            request_checksum_calculation=settings.s3_checksums,
            response_checksum_validation=settings.s3_checksums,
        )
        try:
            client = boto3.client(
                "s3", endpoint_url=settings.s3_endpoint_url or None, region_name=settings.s3_region, config=config
            )
        except ValueError as error:
            raise StoreMisconfigured(
                f"MAMMO_S3_ENDPOINT_URL is '{settings.s3_endpoint_url}'; give http(s)://HOST[:PORT]"
            ) from error
        return cls(client, address.netloc, address.path)

    def read(self, key: str) -> Stored:
        with self._translated(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            return Stored(answer["Body"].read(), answer["ETag"])

    def get(self, key: str) -> bytes:
        return self.read(key).data

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> None:
        conditions = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match is not None else {}
        try:
            with self._translated(key):
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data, **conditions)
        except ObjectNotFound:  # S3's answer to If-Match where there is nothing
            raise PreconditionFailed(f"{key}: somebody else has deleted it meanwhile") from None

    def exists(self, key: str) -> bool:
        try:
            with self._translated(key):
                self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        except ObjectNotFound:
            return False
        return True

    def list(self, prefix: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        with self._translated(prefix):
            for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(self._prefix)

    def delete(self, key: str) -> None:
        with self._translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def locate(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._meaning(key, error) from error
        except NoCredentialsError as error:
            raise StoreMisconfigured(
                "no credentials for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
            ) from error
        except _TROUBLE as error:
            raise StoreUnavailable(f"{self.locate(key)}: {error}; is MAMMO_S3_ENDPOINT_URL right?") from error
        except BotoCoreError as error:
            raise StoreMisconfigured(f"MAMMO_STORE or MAMMO_S3_ENDPOINT_URL can't be used: {error}") from error

    def _meaning(self, key: str, error: ClientError) -> Exception:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "NoSuchBucket":
            return StoreMisconfigured(f"there is no bucket '{self._bucket}'; create it or mend MAMMO_STORE")
        if code in {"NoSuchKey", "404", "NotFound"}:
            return ObjectNotFound(key)
        if code in {"PreconditionFailed", "ConditionalRequestConflict", "412"}:
            return PreconditionFailed(f"{key}: somebody else has written it meanwhile")
        if code in _REFUSED:
            return StoreMisconfigured(f"{self.locate(key)}: {code}; check the credentials and the bucket's policy")
        if code in _BUSY or status >= 500 or status == 429:
            return StoreUnavailable(f"{self.locate(key)}: {code or status}")
        return error
