"""The two object stores, for tests that race over them."""

from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from shared.store.s3 import S3Store
from tests.support.stores import new_bucket


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.external)])
def both_stores(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A directory, and a bucket of a real S3 server over HTTP."""
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    client = boto3.Session("test", "test").client(
        "s3",
        endpoint_url=request.getfixturevalue("s3_endpoint"),
        region_name="us-east-1",
        config=Config(max_pool_connections=32),
    )
    return S3Store(client, new_bucket(client), "some/prefix")
