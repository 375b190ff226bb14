"""Create the bucket of `MAMMO_STORE` if missing: `python -m shared.store.bucket`.

Compose and the set-up Job of Kubernetes call it. On AWS create the bucket beforehand, with versioning and a policy.
"""

from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import MammoError, StoreMisconfigured, StoreUnavailable
from shared.settings import StoreSettings, read_settings


def ensure_bucket(config: StoreSettings) -> str:
    """Create the bucket if it is missing and return a line for the log.

    Raises:
        StoreMisconfigured: the store is not a bucket, or the credentials do not permit its use.
        StoreUnavailable: the server can't be reached.
    """
    address = urlsplit(config.url)
    name, region = address.netloc, config.s3_region
    if address.scheme != "s3" or not name:
        raise StoreMisconfigured(
            "containers share no directory, so the store must be a bucket; set MAMMO_STORE=s3://BUCKET"
        )
    s3: Any = boto3.client("s3", endpoint_url=config.s3_endpoint_url or None, region_name=region)
    try:
        s3.head_bucket(Bucket=name)
        return f"bucket {name} exists"
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise StoreMisconfigured(
                f"bucket {name} can't be used: {error}; check the credentials and the bucket's policy"
            ) from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"the object store can't be reached: {error}; check MAMMO_S3_ENDPOINT_URL") from error
    if region == "us-east-1":  # which must not be named
        s3.create_bucket(Bucket=name)
    else:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
    return f"created bucket {name}"


if __name__ == "__main__":
    try:
        print(ensure_bucket(read_settings(StoreSettings)))
    except MammoError as error:
        raise SystemExit(f"mammostack: {error}") from None
