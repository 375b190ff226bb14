"""Creates the bucket of `MAMMO_STORE` where there is none: `python -m shared.store.bucket`.

Compose and the set-up Job of Kubernetes call it; a bucket on AWS is better made beforehand, with versions and a policy.
"""

from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import MammoError, StoreMisconfigured, StoreUnavailable
from shared.settings import StoreSettings, settings


def ensure_bucket(config: StoreSettings) -> str:
    """What was found or done, as a line for the log.

    Raises:
        StoreMisconfigured: the store is no bucket, or may not be used with these keys.
        StoreUnavailable: the server can't be reached.
    """
    address = urlsplit(config.store)
    name, region = address.netloc, config.s3_region
    if address.scheme != "s3" or not name:
        raise StoreMisconfigured("containers share no directory; set MAMMO_STORE=s3://BUCKET")
    s3: Any = boto3.client("s3", endpoint_url=config.s3_endpoint_url or None, region_name=region)
    try:
        s3.head_bucket(Bucket=name)
        return f"bucket {name} is there"
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise StoreMisconfigured(
                f"bucket {name} can't be used: {error}; check the credentials and the bucket's policy"
            ) from error
    except BotoCoreError as error:
        raise StoreUnavailable(
            f"the object store can't be reached: {error}; is MAMMO_S3_ENDPOINT_URL right?"
        ) from error
    if region == "us-east-1":  # which must not be named
        s3.create_bucket(Bucket=name)
    else:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
    return f"bucket {name} is created"


if __name__ == "__main__":
    try:
        print(ensure_bucket(settings(StoreSettings)))
    except MammoError as error:
        raise SystemExit(f"mammostack: {error}") from None
