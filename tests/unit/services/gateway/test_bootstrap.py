"""What the listeners accept, from the settings."""

from pathlib import Path

import pytest

from services.gateway.bootstrap import listener_options
from shared.settings import GatewayProcessSettings, read_settings
from tests.support.settings import VARIABLES


class TestListenerOptions:
    @pytest.mark.parametrize(
        ("store", "disk"), [("~/films", "HOME/films"), ("/data/films", "/data/films"), ("s3://films", None)]
    )
    def test_disk_of_the_store_is_watched_where_the_store_is_a_folder(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: str, disk: str | None
    ) -> None:
        for variable in VARIABLES:
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", "HOME")
        monkeypatch.setenv("MAMMO_STORE", store)
        monkeypatch.setenv("MAMMO_REDIS_URL", "redis://127.0.0.1:1/0")
        assert listener_options(read_settings(GatewayProcessSettings)).disk == disk
