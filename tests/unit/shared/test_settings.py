"""The settings: described and listed in .env.example; errors name the variable; a process reads its own alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import (
    GROUPS,
    PROCESSES,
    BrokerSettings,
    ClientSettings,
    ServingSettings,
    Settings,
    SettingsError,
    SettingsGroup,
    StoreSettings,
    TrainingSettings,
    WorkerSettings,
    client_key,
    settings,
)

EXAMPLE = Path(__file__).parents[3] / ".env.example"
LINE = re.compile(r"^#? ?(MAMMO_[A-Z0-9_]+)=(.*)$", re.MULTILINE)
REQUIRED = {"MAMMO_STORE": "s3://films", "MAMMO_REDIS_URL": "redis://:secret@broker:6379/0"}


def variable(field: str) -> str:
    return f"MAMMO_{field.upper()}"


@pytest.fixture(autouse=True)
def _an_environment_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for field in Settings.model_fields:
        monkeypatch.delenv(variable(field), raising=False)
    monkeypatch.chdir(tmp_path)  # away from the checkout's own .env
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_described(field: str) -> None:
    assert Settings.model_fields[field].description


def test_the_example_lists_every_setting_once_and_no_other() -> None:
    listed = [name for name, _ in LINE.findall(EXAMPLE.read_text())]
    assert sorted(listed) == sorted(variable(field) for field in Settings.model_fields)


def test_the_example_gives_the_defaults() -> None:
    given = dict(LINE.findall(EXAMPLE.read_text()))
    for field, info in Settings.model_fields.items():
        if not info.is_required():
            assert given[variable(field)] == str("" if info.default is None else info.default), field


def test_the_required_ones_suffice(required: None) -> None:
    found = settings()
    assert found.store == "s3://films"
    assert found.redis_url.get_secret_value() == REQUIRED["MAMMO_REDIS_URL"]
    assert {name: getattr(found, name) for name, info in Settings.model_fields.items() if not info.is_required()} == {
        name: info.default for name, info in Settings.model_fields.items() if not info.is_required()
    }


def test_the_environment_overrides_the_file(required: None, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("MAMMO_STORE=from-the-file\nMAMMO_SERVE_PORT=9000\nREDIS_PASSWORD=of-compose\n")
    monkeypatch.setenv("MAMMO_STORE", "from-the-environment")
    assert (settings().store, settings().serve_port) == ("from-the-environment", 9000)


def test_an_empty_endpoint_means_aws(required: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_S3_ENDPOINT_URL", "")
    assert not settings().s3_endpoint_url


def test_each_setting_stands_in_one_group_and_belongs_to_a_process() -> None:
    own = [field for group in GROUPS for field in group.model_fields if field in group.__annotations__]
    assert sorted(own) == sorted(Settings.model_fields)
    read = {field for groups in PROCESSES.values() for group in groups for field in group.model_fields}
    assert read == set(Settings.model_fields)


def test_a_command_on_the_store_needs_no_broker(required: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAMMO_REDIS_URL")
    assert settings(StoreSettings).store == "s3://films"
    with pytest.raises(SettingsError, match=r"^MAMMO_REDIS_URL: field required"):
        settings(BrokerSettings)


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (StoreSettings, "MAMMO_REDIS_URL"),
        (BrokerSettings, "MAMMO_STORE"),
        (ClientSettings, "MAMMO_STORE"),
        (WorkerSettings, "MAMMO_SERVE_PORT"),
        (TrainingSettings, "MAMMO_SERVE_PORT"),
        (ServingSettings, "MAMMO_TRAIN_PROCESSES"),
    ],
)
def test_what_is_malformed_elsewhere_does_not_stop_a_process(
    required: None, monkeypatch: pytest.MonkeyPatch, group: type[SettingsGroup], name: str
) -> None:
    monkeypatch.setenv(name, "")
    settings(group)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        settings()


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_setting_is_told_by_name(required: None, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(SettingsError, match=f"^{missing}: field required") as refused:
        settings()
    assert ".env.example" in str(refused.value)


def test_all_missing_settings_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        settings()
    assert all(name in str(refused.value) for name in REQUIRED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAMMO_SERVE_PORT", "70000"),
        ("MAMMO_SERVE_PORT", "http"),
        ("MAMMO_SERVE_THREADS", "-1"),
        ("MAMMO_SERVE_THREADS", "3"),
        ("MAMMO_VISIBILITY_TIMEOUT_S", "1"),
        ("MAMMO_TASK_RETRIES", "-1"),
        ("MAMMO_PROMOTION_POLL_S", "0"),
        ("MAMMO_BATCH_PREFIX", ""),
        ("MAMMO_BATCH_PREFIX", "inbox"),
        ("MAMMO_BATCH_PREFIX", "/inbox/"),
        ("MAMMO_BATCH_PREFIX", "inbox/../models/"),
        ("MAMMO_S3_CHECKSUMS", "never"),
        ("MAMMO_LOG_LEVEL", "LOUD"),
        ("MAMMO_STORE", "gs://bucket"),
        ("MAMMO_STORE", "s3://"),
        ("MAMMO_STORE", ""),
        ("MAMMO_S3_ENDPOINT_URL", "nowhere:9000"),
        ("MAMMO_SERVE_HOST", "http://127.0.0.1"),
        ("MAMMO_METRICS_HOST", ""),
    ],
)
def test_a_malformed_setting_is_told_by_name(
    required: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        settings()


@pytest.mark.parametrize("api_key", ["two words", "line\n", "\u00e4"])
def test_an_api_key_that_can_stand_in_no_header_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, api_key: str
) -> None:
    monkeypatch.setenv("MAMMO_API_KEY", api_key)
    with pytest.raises(SettingsError, match=r"^MAMMO_API_KEY: holds a blank, a line break") as refused:
        client_key()
    assert api_key not in str(refused.value)


def test_what_is_malformed_is_not_quoted(required: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_REDIS_URL", "redis://:geheim/pass@h:1/0")
    monkeypatch.setenv("MAMMO_S3_ENDPOINT_URL", "http://geheim:pass@h:1")
    monkeypatch.setenv("MAMMO_STORE", "gs://geheim")
    with pytest.raises(SettingsError) as refused:
        settings()
    told = str(refused.value)
    assert all(f"{name}: " in told for name in ("MAMMO_STORE", "MAMMO_REDIS_URL", "MAMMO_S3_ENDPOINT_URL"))
    assert "geheim" not in told
    assert "pass@" not in told


def test_an_address_to_listen_on_may_stand_in_brackets(required: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_SERVE_HOST", "[::1]")
    monkeypatch.setenv("MAMMO_METRICS_HOST", "::")
    assert (settings().serve_host, settings().metrics_host) == ("::1", "::")
    assert settings().serves_loopback_alone


@pytest.mark.parametrize(("variable", "value"), [("MAMMO_MAX_IMAGE_MB", "257"), ("MAMMO_SERVE_IN_HAND_MB", "255")])
def test_bounds_of_requests_that_do_not_fit_each_other_are_told_together(
    required: None, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match="MAMMO_MAX_IMAGE_MB, MAMMO_MAX_REQUEST_MB and MAMMO_SERVE_IN_HAND_MB"):
        settings()


def test_the_password_of_the_broker_is_not_shown(required: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "secret" not in repr(settings())
    settings.cache_clear()
    monkeypatch.delenv("MAMMO_STORE")
    with pytest.raises(SettingsError) as refused:
        settings()
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_settings_are_read_once_and_can_not_be_changed(required: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = settings()
    monkeypatch.setenv("MAMMO_STORE", "elsewhere")
    assert settings() is first
    with pytest.raises(ValueError, match="frozen"):
        first.store = "elsewhere"  # type: ignore[misc]
