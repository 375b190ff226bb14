"""The Deployment of the inference service as kustomize renders it for one machine, run by `podman kube play`: with its
securityContext it starts, tells truly whether it is ready, and predicts.

podman runs in a privileged container of the engine that is there, since Debian's cannot on every machine. The object
store is the stand-in, in the same network.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
import requests
import yaml

from shared.datasets.phantom import render as render_film
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_png
from shared.local.commands import ROOT
from shared.settings import StoreSettings
from shared.store.api_keys import add_key, describe_key
from shared.store.bucket import ensure_bucket
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from tests.support.composed import WHY_NOT, Compose
from tests.support.manifests import KUSTOMIZE, Manifest, copy_of_tree, render
from tests.support.published import KEY, NETWORK
from tests.support.servers import wait_until
from tests.support.serving import HEADERS, published

HOST, STORE = f"mammostack-test-podman-{os.getpid()}", f"mammostack-test-podman-s3-{os.getpid()}"

pytestmark = [
    pytest.mark.skipif(WHY_NOT is not None, reason=f"podman is not tried: {WHY_NOT}"),
    pytest.mark.skipif(KUSTOMIZE is None, reason="kustomize is not on PATH"),
    pytest.mark.timeout(900),
]


def docker(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(["docker", *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()


def in_pod(*command: str) -> str:
    return docker("exec", HOST, "podman", "exec", "inference-pod-main", *command)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """podman with the image of the service, and a store that has no bucket yet."""
    compose = Compose(tmp_path_factory.mktemp("compose"))
    compose("build", "--quiet", "inference", "s3")
    docker("build", "--quiet", "--tag", "mammostack/test-podman", str(ROOT / "tests" / "e2e" / "podman"))
    try:
        ports = ("--publish", "127.0.0.1::8080", "--publish", "127.0.0.1::7070", "--add-host", "s3:127.0.0.1")
        docker("run", "--detach", "--privileged", "--name", HOST, *ports, "mammostack/test-podman")
        docker("run", "--detach", "--network", f"container:{HOST}", "--name", STORE, "mammostack/standin-s3:dev")
        saved = subprocess.Popen(["docker", "save", "mammostack/inference:dev"], stdout=subprocess.PIPE)
        subprocess.run(["docker", "exec", "-i", HOST, "podman", "load", "--quiet"], stdin=saved.stdout, check=True)
        assert saved.wait() == 0
        yield
    finally:
        for name in (STORE, HOST):
            subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def store(engine: None) -> Iterator[ObjectStore]:
    """With a bucket and a key, as the Job `set-up` leaves it."""
    address = f"http://{docker('port', HOST, '7070').splitlines()[0]}"
    wait_until(lambda: _status(f"{address}/moto-api/") == 200, 30)
    settings = StoreSettings(url="s3://mammostack", s3_endpoint_url=address)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "tests")
        patch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the credentials of another test
        ensure_bucket(settings)
        store = open_store(settings)
        add_key(store, describe_key(KEY, "tests", ["predict"]))
        yield store


@pytest.fixture(scope="module")
def played(store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The service's address, once its process answers."""
    wanted = _of_inference(render(copy_of_tree(tmp_path_factory.mktemp("manifests")), "local", ()))
    docker("exec", "-i", HOST, "podman", "kube", "play", "--network", "host", "-", given=yaml.safe_dump_all(wanted))
    address = f"http://{docker('port', HOST, '8080').splitlines()[0]}"
    wait_until(lambda: _status(f"{address}/healthz") == 200, 180)
    return address


def _of_inference(manifests: list[Manifest]) -> list[Manifest]:
    """Its Deployment and what that refers to, which podman wants to have read before."""
    chosen = [one for one in manifests if one["kind"] in ("ConfigMap", "Secret")]
    for one in chosen:
        if one["metadata"]["name"] == "settings":
            one["data"] |= {"MAMMO_SERVE_NETWORK": NETWORK, "MAMMO_PROMOTION_POLL_S": "0.5"}
    is_it = ("Deployment", "inference")
    return chosen + [one for one in manifests if (one["kind"], one["metadata"]["name"]) == is_it]


def _status(url: str) -> int | None:
    try:
        return requests.get(url, timeout=5).status_code
    except requests.RequestException:
        return None


class TestPodman:
    def test_it_has_no_rights_and_writes_nowhere_but_to_its_tmp(self, played: str) -> None:
        said = dict(line.split(":\t", 1) for line in in_pod("cat", "/proc/1/status").splitlines() if ":\t" in line)
        assert said["Uid"].split() == said["Gid"].split() == ["10001"] * 4
        assert int(said["CapEff"], 16) == int(said["CapBnd"], 16) == 0
        assert (said["NoNewPrivs"], said["Seccomp"]) == ("1", "2")
        in_pod("sh", "-c", "grep -q '^[^ ]* / [^ ]* ro,' /proc/mounts && touch /tmp/x")

    def test_it_is_ready_when_a_model_answers_and_predicts_then(
        self, played: str, store: ObjectStore, tmp_path: Path
    ) -> None:
        assert _status(f"{played}/readyz") == 503
        models = published(tmp_path / "store")
        for key in sorted(models.list(""), key=lambda key: "/aliases/" in key):  # last, as whoever promotes writes it
            store.put(key, models.get(key))
        wait_until(lambda: _status(f"{played}/readyz") == 200, 180)
        film = encode_png(render_film(np.random.default_rng(3), "left", "G", Label.MALIGNANT).pixels)
        answer = requests.post(f"{played}/v1/predictions", data=film, headers=HEADERS, timeout=30)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"]["version"] == "v1"
