"""docs/how-to/kubernetes.md over a Redis and an S3 server of one's own, up to an answered film, without a cluster.

Processes take the place of pods. Their environment is read from the rendered manifests and Secrets, their commands are
those of the manifests and the images, and the page's own commands are typed. The broker is at another port, with
another database and an ACL user of the rights that docs/how-to/scale.md names.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from shared.local.broker import configure, free_port, wait_until_up
from shared.local.commands import ROOT, inference_command, worker_command
from shared.local.processes import Processes
from shared.local.stack import service_environment
from shared.store.api_keys import new_key
from tests.support.manifests import KUSTOMIZE, Manifest, copy_of_tree, environment_of, pods, redis_secret, render
from tests.support.servers import running_s3, wait_until

WORKERS = {"augment": "augment", "segment": "segment", "train": "train", "inference-worker": "inference"}
PAGE = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
FASTER = (
    "--profile test --network resnet50 --protocol patient --from-scratch --wait",
    "--profile lesions --weights \\S+",
)
"""In place of the page's profile, which takes hours."""

pytestmark = pytest.mark.skipif(KUSTOMIZE is None, reason="kustomize is not on PATH")


class Cluster:
    """Manifests of an overlay with their Secrets, and processes with the environment of its pods."""

    def __init__(self, manifests: list[Manifest], secrets: dict[str, dict[str, str]]) -> None:
        self._manifests, self._secrets = manifests, secrets

    def environment(self, pod: str) -> dict[str, str]:
        """The variables of a pod, with what an image sets as well."""
        found = environment_of(self._manifests, pod, self._secrets)
        return service_environment({**found, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"})

    def type(self, pod: str, *command: str) -> str:
        """Run a command with the environment of a pod; return what it prints."""
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment(pod), stdout=subprocess.PIPE, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, (command, done.stdout)
        return done.stdout

    def command(self, pod: str) -> list[str]:
        """The command of a pod's container."""
        return list(dict(pods(self._manifests))[pod]["spec"]["containers"][0]["command"])


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """The URL of a broker at another port and with another database, for a user without dangerous rights."""
    (rights,) = re.findall(r"an ACL user with `([^`]+)`", (ROOT / "docs" / "how-to" / "scale.md").read_text())
    config = configure(tmp_path / "broker")
    with subprocess.Popen(config.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as server:
        try:
            assert server.stdin
            server.stdin.write(config.configuration + f"\nuser mammo on >s3cret {rights}\n".encode())
            server.stdin.close()
            wait_until_up(config.url, lambda: None)
            yield f"redis://mammo:s3cret@{config.url.rpartition('@')[2].removesuffix('/0')}/3"
        finally:
            server.kill()


@pytest.fixture
def cluster(broker: str, tmp_path: Path) -> Iterator[Cluster]:
    overlay = copy_of_tree(tmp_path) / "overlays" / "on-premises"
    made = json.loads(redis_secret(overlay, broker).stdout)["stringData"]
    keys = {"metrics": new_key(), "predict": new_key()}
    with running_s3() as endpoint:
        settings = yaml.safe_load((overlay / "settings.yaml").read_text())
        settings["data"]["MAMMO_S3_ENDPOINT_URL"] = endpoint
        (overlay / "settings.yaml").write_text(yaml.safe_dump(settings))
        secrets = {"redis": made, "api-keys": keys, "s3": {"access-key": "KEY", "secret-key": "SECRET"}}
        yield Cluster(render(overlay.parents[1], "on-premises", ()), secrets)


def typed(word: str) -> list[str]:
    """A command of the page that is typed in the pod `operator`."""
    (line,) = [line for line in re.findall(r"exec deploy/operator -- (.+)", PAGE) if f"mammo {word}" in line]
    return shlex.split(re.sub(FASTER[1], FASTER[0], line))


def _status(url: str) -> int:
    try:
        return requests.get(url, timeout=5).status_code
    except requests.RequestException:
        return 0


class TestOwnServers:
    def test_the_page_ends_with_an_answered_film(self, cluster: Cluster, tmp_path: Path, synthetic_films: Path) -> None:
        operator = "Deployment operator"
        assert cluster.environment(operator)["MAMMO_REDIS_URL"].endswith("/3")
        cluster.type("Job set-up", *cluster.command("Job set-up"))
        port = free_port()
        with Processes(tmp_path / "processes") as processes:
            for pod, service in WORKERS.items():
                processes.start(pod, worker_command(service), cluster.environment(f"Deployment {pod}"))
            served = {**cluster.environment("Deployment inference"), "MAMMO_SERVE_PORT": str(port)}
            processes.start("inference", inference_command(1), {**served, "MAMMO_SERVE_CACHE": str(tmp_path / "cache")})
            for word in ("ingest", "run", "status", "models list"):
                command = [part.replace("/tmp/mias", str(synthetic_films)) for part in typed(word)]  # noqa: S108
                told = cluster.type(operator, *command)
            assert "production" in told
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _status(f"{url}/readyz") == 200, 60)
            film = next((synthetic_films).rglob("*.pgm")).read_bytes()
            key = cluster.environment(operator)["MAMMO_API_KEY"]
            answer = requests.post(
                f"{url}/v1/predictions", data=film, headers={"Authorization": f"Bearer {key}"}, timeout=60
            )
            assert answer.status_code == 200, answer.text
            assert sum(answer.json()["probabilities"].values()) == pytest.approx(1, abs=1e-3)
            processes.check()
