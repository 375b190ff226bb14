"""The settings: described and listed in .env.example; errors name the variable; a process reads its own alone."""

import re
from pathlib import Path

import pytest

from shared.settings import (
    PROCESSES,
    WORKERS,
    BatchProcessSettings,
    BrokerSettings,
    ClientSettings,
    InferenceProcessSettings,
    QueueSettings,
    ServingSettings,
    SettingsError,
    StoreSettings,
    TrainingProcessSettings,
    WorkerProcessSettings,
    WorkerSettings,
    read_settings,
)
from shared.settings.processes import ReadSettings
from tests.support.settings import VARIABLES, groups_of

EXAMPLE = Path(__file__).parents[4] / ".env.example"
LINE = re.compile(r"^#? ?(MAMMO_[A-Z0-9_]+)=(.*)$", re.MULTILINE)
REQUIRED = {"MAMMO_STORE": "s3://films", "MAMMO_REDIS_URL": "redis://:secret@broker:6379/0"}


@pytest.fixture(autouse=True)
def _an_environment_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)  # away from the checkout's own .env


def read_everything() -> None:
    for kind in PROCESSES.values():
        read_settings(kind)


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


class TestRead:
    @pytest.mark.parametrize("variable", VARIABLES)
    def test_every_setting_is_described(self, variable: str) -> None:
        assert VARIABLES[variable].description

    def test_the_example_lists_every_setting_once_and_no_other(self) -> None:
        assert sorted(name for name, _ in LINE.findall(EXAMPLE.read_text())) == sorted(VARIABLES)

    def test_the_example_gives_the_defaults(self) -> None:
        given = dict(LINE.findall(EXAMPLE.read_text()))
        for variable, field in VARIABLES.items():
            if not field.is_required():
                assert given[variable] == str("" if field.default is None else field.default), variable

    @pytest.mark.parametrize("kind", PROCESSES.values(), ids=PROCESSES)
    def test_the_required_ones_suffice(self, required: None, kind: ReadSettings) -> None:
        found = read_settings(kind)
        for name, group in groups_of(kind).items():
            values = dict(getattr(found, name) if name else found)
            for setting, field in group.model_fields.items():
                if not field.is_required():
                    assert values.pop(setting) == field.default
            assert values.keys() <= {"url", "redis_url"}

    def test_settings_are_nested_by_service(self, required: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAMMO_SERVE_PORT", "9000")
        found = read_settings(InferenceProcessSettings)
        assert (found.store.url, found.serving.port) == ("s3://films", 9000)
        assert found.broker.redis_url.get_secret_value() == REQUIRED["MAMMO_REDIS_URL"]

    def test_the_environment_overrides_the_file(self, required: None, monkeypatch: pytest.MonkeyPatch) -> None:
        Path(".env").write_text("MAMMO_STORE=from-the-file\nMAMMO_SERVE_PORT=9000\nREDIS_PASSWORD=of-compose\n")
        monkeypatch.setenv("MAMMO_STORE", "from-the-environment")
        found = read_settings(InferenceProcessSettings)
        assert (found.store.url, found.serving.port) == ("from-the-environment", 9000)

    def test_a_name_without_a_value_in_the_file_is_no_setting(self, required: None) -> None:
        Path(".env").write_text("MAMMO_SERVE_PORT\nMAMMO_API_KEY\n")
        found = read_settings(InferenceProcessSettings)
        assert (found.serving.port, found.client.key) == (8080, None)

    def test_a_variable_is_known_by_its_whole_name_alone(self, required: None, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("port", "PORT", "MAMMO_PORT", "serving", "SERVING"):
            monkeypatch.setenv(name, "9000")
        assert read_settings(InferenceProcessSettings).serving.port == 8080

    def test_an_empty_endpoint_means_aws(self, required: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAMMO_S3_ENDPOINT_URL", "")
        assert not read_settings(StoreSettings).s3_endpoint_url

    def test_each_setting_stands_in_one_group_and_belongs_to_a_process(self) -> None:
        groups = {group for kind in PROCESSES.values() for group in groups_of(kind).values()}
        assert sorted(name for group in groups for name, _ in group.variables()) == sorted(VARIABLES)

    def test_a_command_on_the_store_needs_no_broker(self, required: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MAMMO_REDIS_URL")
        assert read_settings(StoreSettings).url == "s3://films"
        with pytest.raises(SettingsError, match=r"^MAMMO_REDIS_URL: field required"):
            read_settings(BrokerSettings)

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            (StoreSettings, "MAMMO_REDIS_URL"),
            (BrokerSettings, "MAMMO_STORE"),
            (ClientSettings, "MAMMO_STORE"),
            (QueueSettings, "MAMMO_TASK_RETRIES"),
            (WorkerProcessSettings, "MAMMO_SERVE_PORT"),
            (TrainingProcessSettings, "MAMMO_SERVE_PORT"),
            (BatchProcessSettings, "MAMMO_TRAIN_PROCESSES"),
            (InferenceProcessSettings, "MAMMO_TRAIN_PROCESSES"),
        ],
    )
    def test_what_is_malformed_elsewhere_does_not_stop_a_process(
        self, required: None, monkeypatch: pytest.MonkeyPatch, kind: ReadSettings, name: str
    ) -> None:
        monkeypatch.setenv(name, "")
        read_settings(kind)
        with pytest.raises(SettingsError, match=f"^{name}: "):
            read_everything()

    @pytest.mark.parametrize("missing", REQUIRED)
    def test_a_missing_setting_is_told_by_name(
        self, required: None, monkeypatch: pytest.MonkeyPatch, missing: str
    ) -> None:
        monkeypatch.delenv(missing)
        with pytest.raises(SettingsError, match=f"^{missing}: field required") as refused:
            read_settings(WORKERS["augment"])
        assert ".env.example" in str(refused.value)

    def test_all_missing_settings_are_told_at_once(self) -> None:
        with pytest.raises(SettingsError) as refused:
            read_settings(InferenceProcessSettings)
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
        self, required: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError, match=f"^{name}: "):
            read_everything()

    @pytest.mark.parametrize("api_key", ["two words", "line\n", "\u00e4"])
    def test_an_api_key_that_can_stand_in_no_header_is_refused_and_not_shown(
        self, monkeypatch: pytest.MonkeyPatch, api_key: str
    ) -> None:
        monkeypatch.setenv("MAMMO_API_KEY", api_key)
        with pytest.raises(SettingsError, match=r"^MAMMO_API_KEY: holds a blank, a line break") as refused:
            read_settings(ClientSettings)
        assert api_key not in str(refused.value)

    def test_what_is_malformed_is_not_quoted(self, required: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAMMO_REDIS_URL", "redis://:geheim/pass@h:1/0")
        monkeypatch.setenv("MAMMO_S3_ENDPOINT_URL", "http://geheim:pass@h:1")
        monkeypatch.setenv("MAMMO_STORE", "gs://geheim")
        with pytest.raises(SettingsError) as refused:
            read_settings(QueueSettings)
        told = str(refused.value)
        assert all(f"{name}: " in told for name in ("MAMMO_STORE", "MAMMO_REDIS_URL", "MAMMO_S3_ENDPOINT_URL"))
        assert "geheim" not in told
        assert "pass@" not in told

    def test_an_address_to_listen_on_may_stand_in_brackets(
        self, required: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MAMMO_SERVE_HOST", "[::1]")
        monkeypatch.setenv("MAMMO_METRICS_HOST", "::")
        serving = read_settings(ServingSettings)
        assert (serving.host, read_settings(WorkerSettings).metrics_host) == ("::1", "::")
        assert serving.serves_loopback_alone

    @pytest.mark.parametrize(("variable", "value"), [("MAMMO_MAX_IMAGE_MB", "257"), ("MAMMO_SERVE_IN_HAND_MB", "255")])
    def test_bounds_of_requests_that_do_not_fit_each_other_are_told_together(
        self, required: None, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
    ) -> None:
        monkeypatch.setenv(variable, value)
        with pytest.raises(SettingsError, match="MAMMO_MAX_IMAGE_MB, MAMMO_MAX_REQUEST_MB and MAMMO_SERVE_IN_HAND_MB"):
            read_settings(InferenceProcessSettings)

    def test_the_password_of_the_broker_is_not_shown(self, required: None, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "secret" not in repr(read_settings(QueueSettings))
        monkeypatch.delenv("MAMMO_STORE")
        with pytest.raises(SettingsError) as refused:
            read_settings(QueueSettings)
        assert "secret" not in str(refused.value)
        assert refused.value.__suppress_context__

    def test_settings_can_not_be_changed(self, required: None) -> None:
        found = read_settings(QueueSettings)
        with pytest.raises(ValueError, match="frozen"):
            found.store.url = "elsewhere"  # type: ignore[misc]
        with pytest.raises(ValueError, match="frozen"):
            found.store = found.store  # type: ignore[misc]
