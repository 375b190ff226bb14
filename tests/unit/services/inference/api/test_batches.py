"""Batches over HTTP: what is taken and refused, whose they are, and what happens while the broker is away."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from services.inference.batches import failed_line, to_document
from shared.batches.flow import mark_part, store_results
from shared.batches.plan import read_batch, read_images
from shared.errors import UndecodableImage
from shared.local import broker
from shared.local.commands import ROOT
from shared.queue.broker import Broker
from shared.settings import BrokerSettings, InferenceProcessSettings
from shared.store.api_keys import add_key, describe_key, new_key
from shared.store.directory import DirectoryStore
from tests.support.published import KEY, NETWORK, promote
from tests.support.settings import inference_settings
from tests.support.versions import wait_for_version

PROMPTLY_S = 10.0


Serve = Callable[[InferenceProcessSettings], FlaskClient]


@pytest.fixture
def config(store: DirectoryStore, redis_url: str) -> InferenceProcessSettings:
    broker = BrokerSettings(redis_url=SecretStr(redis_url))
    return inference_settings(str(store.root), broker, KEY, network=NETWORK, promotion_poll_s=0.02)


@pytest.fixture
def queue(config: InferenceProcessSettings) -> Broker:
    queue = Broker.open(config.broker)
    queue.client.flushall()
    return queue


@pytest.fixture
def owner(
    store: DirectoryStore,
    config: InferenceProcessSettings,
    queue: Broker,
    serve: Serve,
) -> FlaskClient:
    """Asks a service with v1 in production and a broker, with a key for predictions alone; three films are there."""
    promote(store, "v1")
    for number in range(3):
        store.put(f"inbox/day/{number}.png", b"film")
    client = serve(config)
    wait_for_version(client, "v1")
    return asking_as(store, client, "clinic-a")


@pytest.fixture
def other(store: DirectoryStore, owner: FlaskClient) -> FlaskClient:
    return asking_as(store, owner.application.test_client(), "clinic-b")


@pytest.fixture
def admin(owner: FlaskClient) -> FlaskClient:
    client = owner.application.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {KEY}"
    return client


def asking_as(store: DirectoryStore, client: FlaskClient, name: str) -> FlaskClient:
    """The client with a new key of this name, once the service knows it."""
    key = new_key()
    add_key(store, describe_key(key, name, ("predict",)))
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    until = time.monotonic() + PROMPTLY_S
    while client.get("/v1/usage-limits").status_code != 200:
        assert time.monotonic() < until, "the key was not noticed"
        time.sleep(0.02)
    return client


class TestBatches:
    def test_a_batch_is_made_and_waits_in_the_queue(self, owner: FlaskClient, queue: Broker) -> None:
        answer = owner.post("/v1/batches", json={"prefix": "inbox/"})
        assert answer.status_code == 202, answer.text
        batch = answer.json
        assert (batch["state"], batch["images"], batch["done"], batch["failed"]) == ("queued", 3, 0, 0)
        assert (batch["network"], batch["version"], batch["operating_point"]) == (NETWORK, "v1", "screening")
        assert owner.get(f"/v1/batches/{batch['id']}").json == batch
        assert owner.get("/v1/batches").json == {"batches": [batch]}
        assert owner.get(f"/v1/batches/{batch['id']}/results").data == b""
        assert queue.depth().waiting["inference"] == 1

    def test_results_are_streamed_as_json_lines(self, owner: FlaskClient, store: DirectoryStore, queue: Broker) -> None:
        keys = [f"inbox/day/{number}.png" for number in range(40)]
        batch = owner.post("/v1/batches", json={"keys": keys}).json["id"]
        plan = read_batch(store, batch)
        for part in ("000002", "000000"):
            lines = [failed_line(*image, UndecodableImage("cut off")) for image in read_images(store, plan, part)]
            store_results(store, plan, part, to_document(lines))
            mark_part(store, queue, plan, part)
        answer = owner.get(f"/v1/batches/{batch}/results")
        assert answer.mimetype == "application/x-ndjson"
        found = [json.loads(line) for line in answer.text.splitlines()]
        assert [line["key"] for line in found] == keys[:16] + keys[32:]
        assert found[0] == {"index": 0, "key": keys[0], "problem": {"code": "undecodable-image", "detail": "cut off"}}
        shown = owner.get(f"/v1/batches/{batch}").json
        assert (shown["state"], shown["done"], shown["failed"]) == ("running", 24, 24)

    def test_a_promotion_changes_the_model_of_later_batches_alone(
        self, owner: FlaskClient, store: DirectoryStore
    ) -> None:
        before = owner.post("/v1/batches", json={"prefix": "inbox/"}).json
        promote(store, "v2")
        wait_for_version(owner, "v2")
        after = owner.post("/v1/batches", json={"prefix": "inbox/"}).json
        assert (before["version"], after["version"]) == ("v1", "v2")
        assert owner.get(f"/v1/batches/{before['id']}").json["version"] == "v1"

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ({}, "either keys or a prefix"),
            ({"keys": []}, "keys"),
            ({"keys": ["inbox/a.png"], "prefix": "inbox/"}, "either keys or a prefix"),
            ({"keys": ["models/resnet50/v1/model.onnx"]}, "is not below inbox/"),
            ({"keys": ["inbox/../access/keys.json"]}, "is not below inbox/"),
            ({"keys": ["http://169.254.169.254/latest"]}, "is not below inbox/"),
            ({"prefix": "access/"}, "is not below inbox/"),
            ({"prefix": "inbox/nothing/"}, "no images below"),
            ({"prefix": "inbox/day"}, "does not end with a slash"),
            ({"prefix": "inbox/", "operating_point": "best"}, "no operating point"),
            ({"prefix": "inbox/", "explain": "everything"}, "explain"),
            ({"prefix": "inbox/", "url": "http://example.org"}, "url"),
        ],
    )
    def test_what_is_refused(
        self, owner: FlaskClient, store: DirectoryStore, body: dict[str, object], told: str
    ) -> None:
        refused = owner.post("/v1/batches", json=body)
        assert refused.status_code == 400
        assert told in refused.json["detail"]
        assert list(store.list("batches/")) == []

    def test_an_idempotency_key_makes_one_batch_for_each_owner(
        self, owner: FlaskClient, other: FlaskClient, queue: Broker
    ) -> None:
        order = {"Idempotency-Key": "order-17"}
        first, again = (owner.post("/v1/batches", json={"prefix": "inbox/"}, headers=order).json for _ in range(2))
        assert again == first
        assert queue.depth().waiting["inference"] == 1
        assert other.post("/v1/batches", json={"prefix": "inbox/"}, headers=order).json["id"] != first["id"]
        conflict = owner.post("/v1/batches", json={"prefix": "inbox/day/"}, headers=order)
        assert (conflict.status_code, conflict.json["title"]) == (409, "idempotency-conflict")

    @pytest.mark.parametrize("key", ["", "two words", "x" * 201, "ä"])
    def test_a_malformed_idempotency_key_is_refused(self, owner: FlaskClient, key: str) -> None:
        headers = {"Idempotency-Key": key.encode().decode("latin-1")}
        assert owner.post("/v1/batches", json={"prefix": "inbox/"}, headers=headers).status_code == 400

    def test_a_batch_is_its_owner_s_and_the_admin_s(
        self, owner: FlaskClient, other: FlaskClient, admin: FlaskClient
    ) -> None:
        batch = owner.post("/v1/batches", json={"prefix": "inbox/"}).json["id"]
        unknown = other.get(f"/v1/batches/{'0' * 32}").json
        asks: list[Callable[[FlaskClient], TestResponse]] = [
            lambda client: client.get(f"/v1/batches/{batch}"),
            lambda client: client.get(f"/v1/batches/{batch}/results"),
            lambda client: client.post(f"/v1/batches/{batch}/resume"),
            lambda client: client.post(f"/v1/batches/{batch}/cancel"),
        ]
        for ask in asks:
            refused = ask(other)
            assert refused.status_code == 404
            assert refused.json["detail"] == unknown["detail"]
            assert ask(admin).status_code in (200, 202)
        assert other.get("/v1/batches").json == {"batches": []}
        assert [each["id"] for each in admin.get("/v1/batches").json["batches"]] == [batch]

    def test_a_cancelled_batch_can_not_be_resumed(self, owner: FlaskClient) -> None:
        batch = owner.post("/v1/batches", json={"prefix": "inbox/"}).json["id"]
        assert owner.post(f"/v1/batches/{batch}/cancel").json["state"] == "cancelled"
        assert owner.post(f"/v1/batches/{batch}/cancel").json["state"] == "cancelled"
        refused = owner.post(f"/v1/batches/{batch}/resume")
        assert (refused.status_code, refused.json["title"]) == (409, "batch-ended")

    @pytest.mark.parametrize("batch", ["of", "unknown", "..%2Faccess", "0" * 32])
    def test_an_unknown_batch_is_not_found(self, owner: FlaskClient, batch: str) -> None:
        assert owner.get(f"/v1/batches/{batch}").status_code == 404

    def test_the_newest_batches_are_listed_first(self, owner: FlaskClient) -> None:
        made = [owner.post("/v1/batches", json={"prefix": "inbox/"}).json["id"] for _ in range(3)]
        assert [batch["id"] for batch in owner.get("/v1/batches").json["batches"]] == made[::-1]
        assert [batch["id"] for batch in owner.get("/v1/batches?limit=1").json["batches"]] == made[:-2:-1]
        assert owner.get("/v1/batches?limit=0").status_code == 400


@contextmanager
def running(configured: broker.BrokerConfig) -> Iterator[None]:
    with subprocess.Popen(configured.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as server:
        try:
            assert server.stdin
            server.stdin.write(configured.configuration)
            server.stdin.close()
            broker.wait_until_up(configured.url, lambda: None)
            yield
        finally:
            server.kill()


class TestUnavailable:
    def test_while_the_broker_is_away_a_batch_is_kept_and_told_to_come_back(
        self, ready: FlaskClient, store: DirectoryStore
    ) -> None:
        store.put("inbox/1.png", b"film")
        began = time.monotonic()
        answer = ready.post("/v1/batches", json={"prefix": "inbox/"}, headers={"Idempotency-Key": "order-17"})
        assert time.monotonic() - began < PROMPTLY_S
        assert (answer.status_code, answer.json["title"]) == (503, "queue-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert "the batch is stored" in answer.json["detail"]
        (batch,) = ready.get("/v1/batches").json["batches"]
        assert batch["id"] in answer.json["detail"]
        assert ready.post(f"/v1/batches/{batch['id']}/resume").status_code == 503
        assert ready.post(f"/v1/batches/{batch['id']}/cancel").json["state"] == "cancelled"

    def test_the_same_request_begins_a_batch_that_the_broker_could_not_take(
        self,
        ready: FlaskClient,
        store: DirectoryStore,
        config: InferenceProcessSettings,
        queue: Broker,
        serve: Serve,
    ) -> None:
        store.put("inbox/1.png", b"film")
        order = {"Idempotency-Key": "order-17"}
        assert ready.post("/v1/batches", json={"prefix": "inbox/"}, headers=order).status_code == 503
        back = serve(config)
        wait_for_version(back, "v1")
        assert back.post("/v1/batches", json={"prefix": "inbox/"}, headers=order).status_code == 202
        assert queue.depth().waiting["inference"] == 1

    @pytest.mark.external
    def test_a_broker_that_was_away_is_used_again_when_it_is_back(
        self,
        store: DirectoryStore,
        config: InferenceProcessSettings,
        tmp_path: Path,
        serve: Serve,
    ) -> None:
        store.put("inbox/1.png", b"film")
        promote(store, "v1")
        configured = broker.configure(tmp_path / "broker")
        client = serve(config.model_copy(update={"broker": BrokerSettings(redis_url=SecretStr(configured.url))}))
        wait_for_version(client, "v1")

        def made(order: str) -> int:
            return client.post("/v1/batches", json={"prefix": "inbox/"}, headers={"Idempotency-Key": order}).status_code

        with running(configured):
            assert made("before") == 202
        assert made("meanwhile") == 503
        with running(configured):
            assert (made("meanwhile"), made("after")) == (202, 202)
        assert len(client.get("/v1/batches").json["batches"]) == 3

    def test_without_a_model_no_batch_is_made(self, client: FlaskClient, store: DirectoryStore) -> None:
        store.put("inbox/1.png", b"film")
        refused = client.post("/v1/batches", json={"prefix": "inbox/"})
        assert (refused.status_code, refused.json["title"]) == (503, "model-not-ready")

    @pytest.mark.external
    def test_a_service_that_makes_no_batch_never_imports_celery(self) -> None:
        script = "import sys, services.inference.app; sys.exit(bool({'celery', 'kombu', 'redis'} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_an_image_that_is_named_twice_is_refused(owner: FlaskClient, store: DirectoryStore) -> None:
    refused = owner.post("/v1/batches", json={"keys": ["inbox/1.png"] * 3})
    assert (refused.status_code, refused.json["title"]) == (400, "invalid-input")
    assert list(store.list("batches/")) == []
