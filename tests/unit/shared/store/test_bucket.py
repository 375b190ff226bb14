"""The bucket is made where there is none, and left alone where there is one."""

import boto3
import pytest

from shared.errors import StoreMisconfigured, StoreUnavailable
from shared.settings import StoreSettings
from shared.store.bucket import ensure_bucket


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def config(store: str, endpoint: str = "http://127.0.0.1:1", region: str = "us-east-1") -> StoreSettings:
    return StoreSettings(url=store, s3_endpoint_url=endpoint, s3_region=region)


class TestEnsureBucket:
    @pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
    def test_it_is_made_once(self, s3_endpoint: str, region: str) -> None:
        wanted = config(f"s3://films-{region}/prefix", s3_endpoint, region)
        assert ensure_bucket(wanted) == f"created bucket films-{region}"
        assert ensure_bucket(wanted) == f"bucket films-{region} exists"
        s3 = boto3.client("s3", endpoint_url=s3_endpoint, region_name=region)
        assert s3.get_bucket_location(Bucket=f"films-{region}")["LocationConstraint"] in (region, None)

    def test_a_directory_is_no_bucket(self) -> None:
        with pytest.raises(StoreMisconfigured, match="set MAMMO_STORE=s3://BUCKET"):
            ensure_bucket(config("/var/films"))

    def test_a_server_that_is_away_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(StoreUnavailable, match="can't be reached"):
            ensure_bucket(config("s3://films"))
