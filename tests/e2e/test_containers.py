"""The stack of docker-compose.yml, built and run: films go through while its containers are killed, and it predicts.

The S3 server is the stand-in, which keeps its objects on a volume.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from shared.local.commands import ROOT
from tests.support.composed import WHY_NOT, Compose, bare
from tests.support.servers import wait_until

KILLED = ("augment", "segment", "redis", "s3", "train", "inference", "inference-worker", "prometheus")
IMAGES = ("augment", "segment", "train", "inference", "inference-worker")
STARTED_S, FINISHED_S, BETWEEN_S = 120, 300, 4


pytestmark = [
    pytest.mark.skipif(WHY_NOT is not None, reason=f"containers are not tried: {WHY_NOT}"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    compose = Compose(tmp_path_factory.mktemp("compose"))
    try:
        compose("up", "--detach", "--build", "--quiet-pull")
        wait_until(lambda: compose.healthy() >= set(KILLED), STARTED_S)
        yield compose
    finally:
        compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


def _film(stack: Compose) -> bytes:
    command = [*stack.command, "exec", "-T", "augment", "sh", "-c", "cat $(ls /tmp/films/films/*.pgm | head -n 1)"]
    return subprocess.run(command, cwd=ROOT, env=bare(), capture_output=True, check=True).stdout


def _ready(stack: Compose) -> str | None:
    try:
        return requests.get(f"http://{stack.address}/readyz", timeout=5).json().get("version")
    except requests.RequestException:
        return None


class TestContainers:
    def test_a_run_survives_the_death_of_every_container_and_its_model_answers(
        self, stack: Compose, tmp_path: Path
    ) -> None:
        stack.mammo("synthesize", "/tmp/films", "--patients", "8")  # noqa: S108  a tmpfs inside the container
        stack.mammo("ingest", "/tmp/films", "--dataset", "films")  # noqa: S108
        (tmp_path / "film.pgm").write_bytes(_film(stack))
        told = stack.mammo(
            "run",
            "--dataset",
            "films",
            "--profile",
            "test",
            "--network",
            "resnet50",
            "--protocol",
            "patient",
            "--from-scratch",
        )
        run = told.split()[1]
        for service in KILLED:
            stack("kill", service)
            stack("start", service)
            time.sleep(BETWEEN_S)
            if service == "train":  # the last of those that a run needs
                assert ": running" in stack.mammo("status", run), "it was over before all that it needs were killed"

        wait_until(lambda: f"{run}/report/index.html" in stack.mammo("status", run), FINISHED_S)
        wait_until(lambda: _ready(stack) == run, 60)
        film = (tmp_path / "film.pgm").read_bytes()
        url = f"http://{stack.address}/v1/predictions"
        assert requests.post(url, data=film, timeout=30).status_code == 401
        answer = requests.post(url, data=film, timeout=30, headers={"Authorization": f"Bearer {stack.key}"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"]["version"] == run
        wait_until(lambda: stack.healthy() >= set(KILLED), STARTED_S)

    def test_prometheus_reaches_every_service(self, stack: Compose) -> None:
        query = 'sum by (job) (up{job=~"augment|segment|train|inference|inference-worker"}) == 1'

        def up() -> int:
            asked = ("exec", "-T", "prometheus", "promtool", "query", "instant", "http://127.0.0.1:9090", query)
            return len(stack(*asked).splitlines())

        wait_until(lambda: up() == 5, 60)

    def test_only_the_api_is_published_and_on_loopback_alone(self, stack: Compose) -> None:
        rows = [json.loads(line) for line in stack("ps", "--format", "json").splitlines()]
        published = {
            (row["Service"], port["URL"]) for row in rows for port in row["Publishers"] or () if port["PublishedPort"]
        }
        assert published == {("inference", "127.0.0.1")}

    @pytest.mark.parametrize("image", IMAGES)
    def test_images_have_no_compiler_an_unprivileged_user_a_health_check_and_labels(
        self, stack: Compose, image: str
    ) -> None:
        (told,) = json.loads(subprocess.check_output(["docker", "image", "inspect", f"mammostack/{image}:dev"]))
        config = told["Config"]
        assert config["User"] == "10001:10001"
        assert config["Healthcheck"]["Test"]
        assert config["Labels"]["org.opencontainers.image.title"].startswith("mammostack ")
        asked = "! command -v gcc && ! command -v strip && ! touch /app/x"
        run = ["docker", "run", "--rm", "--read-only", "--entrypoint", "sh", f"mammostack/{image}:dev", "-c", asked]
        assert subprocess.run(run, capture_output=True, check=False).returncode == 0

    def test_images_are_as_small_as_they_should_be(self, stack: Compose) -> None:
        told = subprocess.run([str(ROOT / "deploy/docker/sizes.sh")], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout

    def test_without_its_secrets_it_does_not_start(self, tmp_path: Path) -> None:
        (tmp_path / "empty").write_text("")
        command = ["docker", "compose", "--env-file", str(tmp_path / "empty"), "--file", "docker-compose.yml", "config"]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=bare())
        assert told.returncode != 0
        assert re.search(r"set [A-Z0-9_]+ in \.env \(see \.env\.example", told.stderr)
