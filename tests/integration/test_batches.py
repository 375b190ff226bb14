"""A batch from HTTP to its results, with a real broker, S3 over HTTP and real processes, some of which are killed."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import numpy as np
import psutil
import pytest
import redis
import requests
import torch

from services.train.fitting.serialise import network_to_bytes
from services.train.publishing.publish import model_files
from shared.api.batches import Batch, BatchLine, BatchRequest
from shared.client import ApiError, InferenceClient
from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.errors import InputError
from shared.imaging.formats.decode import encode_pgm, encode_png
from shared.local import broker
from shared.local.commands import ROOT, inference_command, worker_command
from shared.modelling.networks import build
from shared.settings import StoreSettings
from shared.store import layout, models
from shared.store.api_keys import new_key
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from tests.support.builders import model_card, model_place, preprocessing_card
from tests.support.commands import mammo
from tests.support.servers import running_broker, wait_until

NETWORK, SIZE = "modified_cnn", 64
KEY = new_key()
IMAGES = 40
TIMES = 3  # each is stored that often, so that a worker can be killed in the middle
ALLOWED_S = 90.0
BROKEN = {
    "03-missing": (None, "object-not-found"),
    "09-text": (b"no image at all", "unsupported-image"),
    "17-empty": (b"", "undecodable-image"),
    "18-grey": (encode_png(np.full((512, 512), 128, np.uint8)), "not-a-mammogram"),
    "31-cut": (None, "undecodable-image"),
    "39-large": (bytes(3 << 20), "image-too-large"),
}


@dataclass
class Place:
    """A service over S3, and where its workers find what they need."""

    client: InferenceClient
    store: ObjectStore
    environment: dict[str, str]
    folder: Path
    broker_url: str
    url: str


@pytest.fixture(scope="module")
def films() -> dict[str, bytes | None]:
    """40 images by their names, six of them broken; None: there is none."""
    made: dict[str, bytes | None] = {}
    for number in range(IMAGES - len(BROKEN)):
        side, label = ("left", "right")[number % 2], list(Label)[number % 3]
        pixels = render(np.random.default_rng(number), side, "G", label).pixels
        made[f"film-{number:02d}"] = encode_pgm(pixels) if number % 2 else encode_png(pixels)
    whole = made["film-00"]
    assert whole is not None
    broken = {name: data for name, (data, _) in BROKEN.items()} | {"31-cut": whole[: len(whole) // 2]}
    names = sorted(broken)
    order = list(made)
    for name in names:
        order.insert(int(name[:2]), name)
    return {name: broken.get(name, made.get(name)) for name in order}


@pytest.fixture
def place(tmp_path: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """v1 in production, v2 published; gunicorn runs, no worker does."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "tests")
    bucket = f"batches-{os.getpid()}-{abs(hash(tmp_path)) % 10**6}"
    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
    with running_broker() as url:
        port = broker.free_port()
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("MAMMO_", "PROMETHEUS_"))
        }
        environment = inherited | {
            "MAMMO_STORE": f"s3://{bucket}/some/prefix",
            "MAMMO_S3_ENDPOINT_URL": s3_endpoint,
            "MAMMO_REDIS_URL": url,
            "MAMMO_VISIBILITY_TIMEOUT_S": "10",
            "MAMMO_SERVE_NETWORK": NETWORK,
            "MAMMO_SERVE_PORT": str(port),
            "MAMMO_API_KEY": KEY,
            "MAMMO_API_KEY_SCOPES": "predict,metrics,admin",
            "MAMMO_MAX_IMAGE_MB": "2",
            "PYTHONPATH": str(ROOT),
        }
        store = open_store(StoreSettings(url=environment["MAMMO_STORE"], s3_endpoint_url=s3_endpoint))
        for version, seed in (("v1", 1), ("v2", 2)):
            torch.manual_seed(seed)
            files = model_files(NETWORK, network_to_bytes(build(NETWORK)), SIZE, seed)
            card = model_card(NETWORK, version, preprocessing=preprocessing_card(SIZE))
            models.publish(store, card, files)
        models.promote(store, NETWORK, "v1", models.MoveReason(by="test", why="test"))
        address = f"http://127.0.0.1:{port}"
        client = InferenceClient(address, KEY)
        with running(tmp_path / "service.log", inference_command(), environment):
            wait_until(client.ready, 40)
            yield Place(client, store, environment, tmp_path, url, address)


@contextmanager
def running(log: Path, command: tuple[str, ...], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=log.parent, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()


@contextmanager
def worker(place: Place, **more: str) -> Iterator["subprocess.Popen[bytes]"]:
    with running(place.folder / "worker.log", worker_command("inference"), place.environment | more) as process:
        yield process


def stored(place: Place, films: dict[str, bytes | None], folder: str = "inbox") -> tuple[str, ...]:
    for name, data in films.items():
        if data is not None:
            place.store.put(f"{folder}/{name}", data)
    return tuple(f"{folder}/{name}" for name in films)


def ended(place: Place, batch: Batch) -> Batch:
    wait_until(lambda: place.client.batch(batch.id).state == "done", ALLOWED_S)
    return place.client.batch(batch.id)


def said_over_http(place: Place, data: bytes) -> dict[str, object]:
    """What `/v1/predictions` says, without its times and without what draws it."""
    told = place.client.predict(data).model_dump(mode="json")
    left_out = ("outline", "seconds", "request_id", "model", "notice")
    return {name: value for name, value in told.items() if name not in left_out}


def said(line: BatchLine) -> dict[str, object]:
    if line.problem:
        return {"code": line.problem.code}
    assert line.finding
    return line.finding.model_dump(mode="json", exclude={"seconds"})


def exposed_by(port: int) -> str:
    return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text


class TestBatches:
    def test_every_image_is_answered_once_as_over_http_whatever_is_killed_or_promoted(
        self, place: Place, films: dict[str, bytes | None]
    ) -> None:
        named = tuple(key for copy in range(TIMES) for key in stored(place, films, f"inbox/{copy}"))
        expected = [said_over_http(place, data) for name, data in films.items() if name not in BROKEN and data]
        batch = place.client.create_batch(BatchRequest(keys=named))
        assert (batch.state, batch.images, batch.version) == ("queued", len(named), "v1")

        with worker(place) as first:
            wait_until(lambda: any(place.store.list(layout.batch_marks(batch.id))), ALLOWED_S)
            os.killpg(first.pid, signal.SIGKILL)
        between = place.client.batch(batch.id)
        assert (between.state, 16 <= between.done < len(named)) == ("running", True)
        models.promote(place.store, NETWORK, "v2", models.MoveReason(by="test", why="test"))
        wait_until(lambda: place.client.model().version == "v2", ALLOWED_S)

        with worker(place):
            done = ended(place, batch)
        assert (done.done, done.failed, done.version) == (len(named), len(BROKEN) * TIMES, "v1")
        lines = list(place.client.batch_results(batch.id))
        assert [(line.index, line.key) for line in lines] == list(enumerate(named))
        broken = {line.key: said(line)["code"] for line in lines if line.problem}
        assert broken == {f"inbox/{copy}/{name}": code for copy in range(TIMES) for name, (_, code) in BROKEN.items()}
        assert [said(line) for line in lines if line.finding] == expected * TIMES
        again = place.client.create_batch(BatchRequest(keys=named[:1]))
        assert again.version == "v2"

    def test_a_child_that_is_killed_costs_its_worker_nothing(
        self, place: Place, films: dict[str, bytes | None]
    ) -> None:
        stored(place, films)
        with worker(place) as process:
            batch = place.client.create_batch(BatchRequest(prefix="inbox/"))
            wait_until(lambda: any(place.store.list(layout.batch_marks(batch.id))), ALLOWED_S)
            for child in psutil.Process(process.pid).children():
                child.kill()
            done = ended(place, batch)
            assert process.poll() is None
        assert done.failed == len(BROKEN) - 1  # a prefix holds no missing image
        assert len(list(place.client.batch_results(batch.id))) == IMAGES - 1

    def test_messages_that_the_broker_lost_are_sent_again_by_resuming(
        self, place: Place, films: dict[str, bytes | None]
    ) -> None:
        stored(place, films)
        batch = place.client.create_batch(BatchRequest(prefix="inbox/"))
        redis.Redis.from_url(place.broker_url).flushall()
        port, folder = broker.free_port(), place.folder / "made-by-the-worker"
        with worker(place, MAMMO_METRICS_PORT=str(port), PROMETHEUS_MULTIPROC_DIR=str(folder)):
            assert place.client.resume_batch(batch.id).state == "queued"
            assert ended(place, batch).done == IMAGES - 1
            outcomes = Counter(said(line).get("code", "predicted") for line in place.client.batch_results(batch.id))
            expected = [f'mammo_batch_images_total{{outcome="{name}"}} {count:.1f}' for name, count in outcomes.items()]
            expected.append('mammo_units_total{outcome="done",stage="predict"} 3.0')
            until = time.monotonic() + 10  # what the worker counts is counted after the mark that ends the batch
            while absent := [line for line in expected if line not in exposed_by(port)]:
                assert time.monotonic() < until, absent
                time.sleep(0.05)

    def test_the_commands_lead_through_a_batch(
        self, place: Place, films: dict[str, bytes | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stored(place, films)
        monkeypatch.setenv("MAMMO_API_KEY", KEY)
        url, out = ("--url", place.url), place.folder / "results.jsonl"
        made = mammo("batch", "create", "--prefix", "inbox/", "--heatmaps", "--idempotency-key", "order-17", *url)
        batch = made.split()[1].rstrip(":")
        assert f"{IMAGES - 1} images, model {NETWORK} v1" in made
        assert f"{batch}: queued, 0 of" in mammo("batch", "status", batch, *url)
        with worker(place):
            assert f"{batch}: done" in mammo("batch", "status", batch, "--follow", *url)
        assert f"{IMAGES - 1} lines written to" in mammo("batch", "results", batch, "--out", str(out), *url)
        assert out.read_text() == mammo("batch", "results", batch, *url)
        line = BatchLine.model_validate_json(out.read_text().splitlines()[-1])
        assert line.heatmap is not None
        assert place.store.get(line.heatmap).startswith(b"\x89PNG")
        assert batch in mammo("batch", "list", *url)

        named = mammo("batch", "create", "inbox/film-00", "inbox/film-01", *url).split()[1].rstrip(":")
        assert f"{named}: cancelled, 0 of 2" in mammo("batch", "cancel", named, *url)
        with pytest.raises(ApiError, match="is cancelled"):
            mammo("batch", "resume", named, *url)
        with pytest.raises(InputError, match="either store keys of images or --prefix"):
            mammo("batch", "create", *url)

    def test_a_model_that_is_damaged_is_told_of_every_image(self, place: Place, films: dict[str, bytes | None]) -> None:
        stored(place, films)
        batch = place.client.create_batch(BatchRequest(prefix="inbox/"))
        place.store.put(model_place(place.store, NETWORK, "v1", "model.onnx"), b"damaged")
        with worker(place):
            done = ended(place, batch)
        assert (done.done, done.failed) == (IMAGES - 1, IMAGES - 1)
        codes = {line.problem.code for line in place.client.batch_results(batch.id) if line.problem}
        assert codes == {"model-corrupt"}
