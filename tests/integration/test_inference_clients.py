"""The service under gunicorn, asked by clients that others wrote, and ended in the middle of work."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
import tritonclient.http as triton

from services.train.publish import model_files, network_to_bytes
from shared.client import InferenceClient
from shared.datasets.manifest import Label
from shared.datasets.phantom import render
from shared.embedded import broker
from shared.embedded.commands import ROOT, inference_command
from shared.imaging.decode import encode_png
from shared.modelling.card import PreprocessingCard
from shared.modelling.networks import build
from shared.store import registry
from shared.store.access import new_key
from shared.store.objects import DirectoryStore
from tests.builders import model_card
from tests.servers import wait_until

NETWORK, SIZE = "modified_cnn", 64
KEY = new_key()
HEADERS = {"Authorization": f"Bearer {KEY}"}


@dataclass
class Served:
    address: str
    process: "subprocess.Popen[bytes]"
    store: DirectoryStore


@pytest.fixture(scope="module")
def films() -> list[bytes]:
    sides = ("left", "right", "left", "right")
    return [
        encode_png(render(np.random.default_rng(n), side, "G", Label.BENIGN).pixels) for n, side in enumerate(sides)
    ]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Two published versions, the first in production."""
    store = DirectoryStore(tmp_path / "store")
    for version, seed in (("v1", 1), ("v2", 2)):
        torch.manual_seed(seed)
        files = model_files(NETWORK, network_to_bytes(build(NETWORK)), SIZE, seed)
        card = model_card(NETWORK, version, preprocessing=PreprocessingCard(size=SIZE, segmentation=1))
        registry.publish(store, card, files)
    registry.promote(store, NETWORK, "v1", by="test", why="test")
    port = broker.free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAMMO_", "PROMETHEUS_"))}
    environment |= {
        "MAMMO_STORE": str(store.root),
        "MAMMO_REDIS_URL": "redis://:unused@127.0.0.1:1/0",
        "MAMMO_SERVE_NETWORK": NETWORK,
        "MAMMO_SERVE_PORT": str(port),
        "MAMMO_API_KEY": KEY,
        "MAMMO_PROMOTION_POLL_S": "0.1",
        "PYTHONPATH": str(ROOT),
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(inference_command(), env=environment, cwd=tmp_path, stdout=log, stderr=log)
    try:
        address = f"127.0.0.1:{port}"
        wait_until(InferenceClient(f"http://{address}", KEY).ready, 40)
        yield Served(address, process, store)
    finally:
        process.terminate()
        process.wait()


def test_the_client_of_triton_is_at_home(served: Served, films: list[bytes]) -> None:
    native = InferenceClient(f"http://{served.address}", KEY).predict(films[0])
    headers = dict(HEADERS)  # the client adds to it
    client = triton.InferenceServerClient(served.address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(NETWORK, headers=headers)
    assert client.get_model_metadata(NETWORK, headers=headers)["versions"] == ["v1"]
    for binary in (True, False):
        image = triton.InferInput("image", [2], "BYTES")
        image.set_data_from_numpy(np.array([films[0], films[1]], np.object_), binary_data=True)
        outputs = [
            triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "class", "score")
        ]
        answer = client.infer(NETWORK, [image], outputs=outputs, request_id="7", headers=headers)
        assert answer.get_response()["id"] == "7"
        chances = answer.as_numpy("probabilities")
        assert chances.shape == (2, 3)
        assert chances[0] == pytest.approx(list(dict(native.probabilities).values()), abs=1e-5)
        assert answer.as_numpy("score").shape == (2,)
    with pytest.raises(triton.InferenceServerException, match="is not served"):
        client.get_model_metadata("resnet50", headers=headers)
    client.close()


def test_a_promotion_under_load_fails_no_request(served: Served, films: list[bytes]) -> None:
    ended, seen, errors = threading.Event(), set(), []

    def ask(number: int) -> None:
        session = requests.Session()
        while not ended.is_set():
            answer = session.post(
                f"http://{served.address}/v1/predictions", data=films[number % len(films)], headers=HEADERS, timeout=20
            )
            if answer.status_code == 200:
                seen.add(answer.json()["model"]["version"])
            else:
                errors.append(answer.text)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        try:
            for version in ("v2", "v1", "v2", "v1"):
                registry.promote(served.store, NETWORK, version, by="test", why="test", force=True)
                seen.clear()
                wait_until(partial(seen.__contains__, version), 20)
        finally:
            ended.set()
    assert errors == []
    assert [each.exception() for each in asking] == [None] * 4


def test_requests_in_hand_are_answered_before_the_service_ends(served: Served, films: list[bytes]) -> None:
    def ask(number: int) -> int:
        answer = requests.post(
            f"http://{served.address}/v1/predictions", data=films[number % 4], headers=HEADERS, timeout=30
        )
        return answer.status_code

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, number) for number in range(6)]
        wait_until(lambda: any(each.done() for each in asked), 20)
        served.process.send_signal(signal.SIGTERM)
        assert [each.result(30) for each in asked] == [200] * 6
    assert served.process.wait(30) == 0


def test_more_than_the_service_holds_is_refused_with_a_time_and_the_rest_is_answered(
    served: Served, films: list[bytes]
) -> None:
    def ask(number: int) -> "requests.Response":
        return requests.post(
            f"http://{served.address}/v1/predictions", data=films[number % 4], headers=HEADERS, timeout=60
        )

    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(ask, range(120)))
    counts = {status: sum(answer.status_code == status for answer in answers) for status in (200, 429)}
    assert counts[200] + counts[429] == 120
    assert counts[429] > 0
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status_code == 429)
    assert requests.get(f"http://{served.address}/healthz", timeout=5).status_code == 200
