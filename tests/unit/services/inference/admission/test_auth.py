"""Who may ask: no key, no answer; scopes, limits and revocation by key; no start where nobody could be told apart."""

from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from services.inference.admission.auth import Authenticator, NoKeys, check_keys_exist, local_key
from shared import metrics
from shared.api.keys import SCOPES
from shared.errors import (
    InputError,
    LimitReached,
    MammoError,
    ModelCorrupt,
    NotAllowed,
    NotAuthenticated,
    ObjectNotFound,
    QueueUnavailable,
    StoreMisconfigured,
    StoreUnavailable,
)
from shared.imaging.formats.decode import encode_png
from shared.settings import ClientSettings, ServingSettings
from shared.store.api_keys import ApiKey, add_key, describe_key, new_key, revoke_key, rotate_key
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore

PAGES = {"/", "/page/<path:name>", "/docs", "/docs/<name>", "/openapi.json"}
OPEN = {*PAGES, "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}
NOBODY = {"HTTP_AUTHORIZATION": ""}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def empty(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "keys")


def access(store: ObjectStore, **limits: int) -> tuple[Authenticator, str]:
    key = new_key()
    add_key(store, describe_key(key, "pacs", ["predict"], **limits))
    found = Authenticator(store, clock=lambda: 0.0)
    found.refresh()
    return found, f"Bearer {key}"


class TestAuth:
    def test_every_route_but_the_page_and_the_probes_needs_a_key(self, client: FlaskClient) -> None:
        opened = set()
        for rule in client.application.url_map.iter_rules():
            arguments = dict.fromkeys(rule.arguments, "x")
            path = rule.build(arguments)[1]
            for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
                answer = client.open(path, method=method, environ_overrides=NOBODY)
                if answer.status_code == 401:
                    assert answer.headers["WWW-Authenticate"] == "Bearer"
                    assert "Authorization: Bearer" in answer.json["detail"]
                else:
                    opened.add(rule.rule)
        assert opened == OPEN

    def test_a_body_is_not_read_before_its_key_is_known(self, client: FlaskClient) -> None:
        answer = client.post("/v1/predictions", data=bytes(3 * 2**20), environ_overrides=NOBODY)
        assert answer.status_code == 401, "too large, and that is not even looked at"

    def test_a_key_of_the_store_is_good_for_its_scopes_alone(self, ready: FlaskClient, film: np.ndarray) -> None:
        made = {scope: ready.post("/v1/keys", json={"name": scope, "scopes": [scope]}).json["key"] for scope in SCOPES}
        data = encode_png(film)
        allowed = {
            (scope, path): ready.open(path, method=method, data=body, headers=bearer(key)).status_code
            for scope, key in made.items()
            for method, path, body in (
                ("POST", "/v1/predictions", data),
                ("GET", "/metrics", b""),
                ("GET", "/v1/keys", b""),
            )
        }
        assert {pair for pair, status in allowed.items() if status == 200} == {
            ("predict", "/v1/predictions"),
            ("metrics", "/metrics"),
            *(("admin", path) for path in ("/v1/predictions", "/metrics", "/v1/keys")),
        }
        assert set(allowed.values()) == {200, 403}

    def test_a_revoked_key_is_refused_at_once(self, client: FlaskClient) -> None:
        made = client.post("/v1/keys", json={"name": "pacs"}).json
        assert made["scopes"] == ["predict"]
        assert client.get("/v1/models", headers=bearer(made["key"])).status_code == 200
        assert client.delete(f"/v1/keys/{made['id']}").status_code == 200
        refused = client.get("/v1/models", headers=bearer(made["key"]))
        assert (refused.status_code, refused.json["title"]) == (401, "not-authenticated")
        assert client.delete(f"/v1/keys/{made['id']}").status_code == 404

    def test_the_list_of_keys_shows_no_key_and_no_hash(self, client: FlaskClient) -> None:
        made = client.post("/v1/keys", json={"name": "pacs", "requests_a_minute": 5}).json
        listed = client.get("/v1/keys")
        assert made["key"] not in listed.text
        assert [(key["name"], key["requests_a_minute"]) for key in listed.json["keys"]] == [("pacs", 5)]
        assert "sha256" not in listed.text

    @pytest.mark.parametrize(
        "wanted", [None, [], {}, {"name": "a/b"}, {"name": "a", "scopes": []}, {"name": "a", "scope": "admin"}]
    )
    def test_a_key_that_can_not_be_made_is_told(self, client: FlaskClient, wanted: object) -> None:
        refused = client.post("/v1/keys", json=wanted)
        assert refused.status_code == 400
        assert "invalid body" in refused.json["detail"]

    def test_a_limit_is_told_with_the_time_to_wait_and_the_request_that_failed_counts_no_longer(
        self,
        client: FlaskClient,
    ) -> None:
        key = client.post("/v1/keys", json={"name": "pacs", "requests_a_minute": 2, "requests_at_once": 1}).json["key"]
        assert client.get("/v1/usage-limits", headers=bearer(key)).json["key"]["requests_at_once"] == 1
        assert client.post("/v1/predictions", headers=bearer(key)).status_code == 503, "no model, but counted and left"
        refused = client.get("/v1/models", headers=bearer(key))
        assert (refused.status_code, refused.json["title"]) == (429, "limit-reached")
        assert 1 <= int(refused.headers["Retry-After"]) <= 30


def key_of(host: str, key: str | None = None) -> ApiKey | None:
    secret = SecretStr(key) if key is not None else None
    return local_key(ClientSettings(api_key=secret), ServingSettings(host=host))


class TestCheckKeysExist:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "inference"])
    def test_beyond_loopback_there_has_to_be_a_key_in_the_store(self, empty: DirectoryStore, host: str) -> None:
        key = new_key()
        assert key_of(host, key) is None
        with pytest.raises(NoKeys, match="mammo keys create"):
            check_keys_exist(empty, ServingSettings(host=host))
        add_key(empty, describe_key(key, "pacs", ["predict"]))
        check_keys_exist(empty, ServingSettings(host=host))
        revoke_key(empty, key.split("_")[1])
        with pytest.raises(NoKeys):
            check_keys_exist(empty, ServingSettings(host=host))

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
    def test_on_loopback_the_key_of_the_settings_is_good_for_predictions(
        self, empty: DirectoryStore, host: str
    ) -> None:
        check_keys_exist(empty, ServingSettings(host=host))
        assert key_of(host) is None
        assert key_of(host, "") is None
        kept = key_of(host, new_key())
        assert kept
        assert kept.scopes == ("predict",)
        with pytest.raises(InputError, match="mammo keys create"):
            key_of(host, "secret")


class TestLocalKey:
    def test_the_local_key_has_the_scopes_of_its_setting(self) -> None:
        def scopes(text: str) -> tuple[str, ...]:
            kept = local_key(ClientSettings(api_key=SecretStr(new_key())), ServingSettings(local_scopes=text))
            assert kept
            return kept.scopes

        assert scopes("metrics, predict") == ("predict", "metrics")
        assert scopes("predict,metrics,admin") == SCOPES
        for text in ("", "all", "predict,Admin"):
            with pytest.raises(InputError, match="MAMMO_API_KEY_SCOPES"):
                scopes(text)


def _add_another(store: DirectoryStore) -> str:
    other = describe_key(new_key(), "other", ["predict"])
    add_key(store, other)
    return other.id


class TestAuthenticator:
    def test_a_limit_of_requests_a_minute_lets_them_come_at_once_and_then_by_the_clock(
        self, empty: DirectoryStore
    ) -> None:
        found, header = access(empty, requests_a_minute=3)
        now = [0.0]
        found.clock = lambda: now[0]
        for _ in range(3):
            found.leave(found.enter(header, "predict"))
        with pytest.raises(LimitReached, match="3 requests per minute") as refused:
            found.enter(header, "predict")
        assert refused.value.retry_after_s == 20
        now[0] = 20.0
        found.leave(found.enter(header, "predict"))
        with pytest.raises(LimitReached):
            found.enter(header, "predict")

    def test_a_limit_of_requests_at_once_ends_with_the_first_of_them(self, empty: DirectoryStore) -> None:
        found, header = access(empty, requests_at_once=2)
        first = found.enter(header, "predict")
        found.enter(header, "predict")
        with pytest.raises(LimitReached, match="2 concurrent requests"):
            found.enter(header, "predict")
        found.leave(first)
        found.enter(header, "predict")

    @pytest.mark.parametrize(
        "header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer x", "Bearer mammo_12345678_x"]
    )
    def test_what_is_no_key_is_refused(self, empty: DirectoryStore, header: str | None) -> None:
        found, _ = access(empty)
        with pytest.raises(NotAuthenticated):
            found.enter(header, "predict")

    def test_keys_stay_known_while_the_store_is_away(
        self, empty: DirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found, header = access(empty)

        def away(_: str) -> bytes:
            raise StoreUnavailable("away")

        monkeypatch.setattr(empty, "get", away)
        found.refresh()
        found.enter(header, "predict")
        unread = Authenticator(empty)
        unread.refresh()
        with pytest.raises(StoreUnavailable, match="could not be loaded"):
            unread.enter(header, "predict")

    def test_a_key_without_the_scope_is_told_which(self, empty: DirectoryStore) -> None:
        found, header = access(empty)
        with pytest.raises(NotAllowed, match="lacks the scope metrics"):
            found.enter(header, "metrics")

    def test_what_the_store_says_of_the_local_key_counts(self, empty: DirectoryStore) -> None:
        key = new_key()
        found = Authenticator(empty, describe_key(key, "local", SCOPES), clock=lambda: 0.0)
        found.refresh()
        found.leave(found.enter(f"Bearer {key}", "admin"))
        add_key(empty, describe_key(key, "pacs", ["predict"], requests_a_minute=1))
        found.refresh()
        with pytest.raises(NotAllowed, match="'pacs' lacks the scope admin"):
            found.enter(f"Bearer {key}", "admin")
        found.leave(found.enter(f"Bearer {key}", "predict"))
        with pytest.raises(LimitReached):
            found.enter(f"Bearer {key}", "predict")
        revoke_key(empty, key.split("_")[1])
        found.refresh()
        with pytest.raises(NotAuthenticated):
            found.enter(f"Bearer {key}", "predict")
        rotate_key(empty, _add_another(empty), 24)  # which tidies up
        found.refresh()
        with pytest.raises(NotAuthenticated):
            found.enter(f"Bearer {key}", "predict")

    def test_requests_with_a_key_that_ends_soon_are_counted_and_logged_once(
        self, empty: DirectoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = new_key()
        add_key(empty, describe_key(key, "pacs", ["predict"], days=30))
        renewed, _ = rotate_key(empty, key.split("_")[1], overlap_hours=24)
        authenticator = Authenticator(empty)
        authenticator.refresh()
        counted = []
        for used in (renewed, key, key):
            before = metrics.ENDING_KEY_REQUESTS._value.get()
            authenticator.leave(authenticator.enter(f"Bearer {used}", "predict"))
            counted.append(metrics.ENDING_KEY_REQUESTS._value.get() - before)
        assert counted == [0, 1, 1]
        assert [record.message for record in caplog.records] == ["API key ends soon"]
        assert key not in caplog.text

    def test_a_limit_that_a_used_key_gets_begins_with_all_its_requests(self, empty: DirectoryStore) -> None:
        key = new_key()
        add_key(empty, describe_key(key, "pacs", ["predict"]))
        found = Authenticator(empty, clock=lambda: 0.0)
        found.refresh()
        for _ in range(1000):
            found.leave(found.enter(f"Bearer {key}", "predict"))
        add_key(empty, describe_key(key, "pacs", ["predict"], requests_a_minute=2))
        found.refresh()
        for _ in range(2):
            found.leave(found.enter(f"Bearer {key}", "predict"))
        with pytest.raises(LimitReached) as refused:
            found.enter(f"Bearer {key}", "predict")
        assert refused.value.retry_after_s == 30


class TestDisclosure:
    @pytest.mark.parametrize(
        "error", [StoreUnavailable, StoreMisconfigured, ObjectNotFound, QueueUnavailable, ModelCorrupt]
    )
    def test_an_error_tells_clients_no_address_and_the_log_all(
        self,
        client: FlaskClient,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        error: type[MammoError],
    ) -> None:
        def fails(_store: ObjectStore) -> None:
            raise error("s3://bucket/access/keys.json at http://s3.internal:9000")

        monkeypatch.setattr("services.inference.api.api_keys.read_keys", fails)
        answer = client.get("/v1/keys")
        assert answer.json["title"] == error.code
        for secret in ("bucket", "s3.internal", "keys.json"):
            assert secret not in answer.text
        assert "s3.internal" in str([record.__dict__ for record in caplog.records])

    @pytest.mark.parametrize("path", ["/readyz", "/v2/health/ready"])
    def test_readiness_tells_no_address_without_a_key(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        keeper = client.application.extensions["inference"].keeper

        def fails(*_: object) -> None:
            raise StoreMisconfigured("s3://bucket at http://s3.internal:9000: access denied")

        monkeypatch.setattr("services.inference.serving.model_loader.models.read_alias", fails)
        keeper.refresh()
        answer = client.get(path, environ_overrides=NOBODY)
        assert answer.status_code == 503
        assert "the object store refuses the service" in answer.json["detail"]
        assert "s3.internal" not in answer.text
