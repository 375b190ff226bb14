"""Object stores for tests: what one holds, and a new bucket."""

import uuid
from typing import Any

from shared.settings import StoreSettings
from shared.store.interface import ObjectStore


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list("")}


def new_bucket(client: Any) -> str:
    """Give the name of a bucket that this call makes."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    return name


def settings_for(store: str, endpoint: str | None = None) -> StoreSettings:
    return StoreSettings(url=store, s3_endpoint_url=endpoint)
