"""docker-compose.yml, the Dockerfiles and the pages about them hold together, and hadolint finds nothing."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from shared.local.commands import ROOT, gateway_command, inference_command, worker_command
from shared.settings import ServingSettings
from tests.support.manifests import compose
from tests.support.settings import VARIABLES

DOCKER = ROOT / "deploy" / "docker"
HADOLINT = ROOT / ".venv-deploy" / "bin" / "hadolint"
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy" / "runbooks").glob("*.md")])
DOCKERFILES = sorted([*DOCKER.rglob("Dockerfile"), *(ROOT / "tests").rglob("Dockerfile")])
MADE_BY_THE_READER = "deploy/k8s/overlays/mine"
SERVICES = ("augment", "segment", "train", "train-gpu", "inference", "inference-worker", "gateway", "gateway-worker")
SET_ELSEWHERE = {
    "MAMMO_API_KEY",  # for commands; by the service `cli`
    "MAMMO_PSEUDONYM_KEY",  # for ingestion; by the service `cli`
    "MAMMO_API_KEY_SCOPES",  # for loopback alone, on which no container serves
    "MAMMO_SERVE_HOST",  # by the images: what they listen on is theirs to say
    "MAMMO_SERVE_PORT",
    "MAMMO_GATEWAY_HOST",
    "MAMMO_GATEWAY_PORT",
    "MAMMO_GATEWAY_DICOM_PORT",
    "MAMMO_METRICS_HOST",
    "MAMMO_METRICS_PORT",
    "MAMMO_WORKER_IDLE_S",  # for autoscalers; compose would start the worker again
}


class TestCompose:
    def test_every_setting_reaches_the_containers_and_nothing_else_does(self) -> None:
        given = {*compose()["x-mammo-environment"], *compose()["x-gateway-environment"]} - {"<<", "MAMMO_API_KEY"}
        passed = given - {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
        assert passed == set(VARIABLES) - SET_ELSEWHERE

    def test_every_variable_of_compose_is_in_the_example(self) -> None:
        example = (ROOT / ".env.example").read_text()
        listed = set(re.findall(r"^#?([A-Z0-9_]+)=", example, re.MULTILINE))
        used = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", (ROOT / "docker-compose.yml").read_text()))
        assert used <= listed

    def test_every_setting_that_a_file_of_the_deployment_names_exists(self) -> None:
        known = set(VARIABLES)
        files = [ROOT / "docker-compose.yml", ROOT / ".env.example", *(ROOT / "deploy").rglob("*")]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                named = set(re.findall(r"(?<!\w)MAMMO_[A-Z0-9_]*[A-Z0-9]\b", file.read_text()))
                assert named <= known, file

    def test_what_compose_builds_has_a_target(self) -> None:
        targets = set(re.findall(r"^FROM \S+ AS ([\w-]+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE))
        built = {service["build"]["target"] for service in compose()["services"].values() if "build" in service}
        assert (
            built
            == {
                *("augment", "segment", "train", "inference", "inference-worker", "gateway", "gateway-worker"),
            }
            <= targets
        )

    def test_the_images_keep_the_files_of_the_metrics_apart_from_tmp(self) -> None:
        recipe = (DOCKER / "Dockerfile").read_text()
        folders = re.findall(r"\bPROMETHEUS_MULTIPROC_DIR=(\S+)", recipe)
        assert folders
        assert all(folder.startswith("/dev/shm/") for folder in folders)  # noqa: S108  the container's

    @pytest.mark.parametrize(
        "target", ["augment", "segment", "train", "inference", "inference-worker", "gateway", "gateway-worker"]
    )
    def test_an_image_keeps_memory_as_the_same_process_does_on_one_machine(self, target: str) -> None:
        recipe = (DOCKER / "Dockerfile").read_text()
        parents = dict(reversed(pair) for pair in re.findall(r"^FROM (\S+) AS ([\w-]+)$", recipe, re.MULTILINE))
        stages = dict(re.findall(r"^FROM \S+ AS ([\w-]+)$(.*?)(?=^FROM |\Z)", recipe, re.MULTILINE | re.DOTALL))
        set_here, stage = dict[str, str](), target
        while stage in stages:
            set_here = dict(re.findall(r"^[^#\n]*\b(MALLOC_[A-Z_]+)=(\d+)", stages[stage], re.MULTILINE)) | set_here
            stage = parents[stage]
        if target == "inference":  # as many arenas as cores: its command says so when it starts
            (line,) = re.findall(r'^CMD \["sh", "-c", "(.*)"\]$', stages[target], re.MULTILINE)
            shown = line.replace('\\"', '"').replace("exec gunicorn", "echo $MALLOC_ARENA_MAX; exit;")
            for cores, arenas in (("1", "2"), ("5", "5"), ("0", str(max(2, os.cpu_count() or 1)))):
                environment = {**os.environ, "MAMMO_CPU_THREADS": cores}
                said = subprocess.run(
                    ("sh", "-c", shown), env=environment, check=True, stdout=subprocess.PIPE, text=True
                )
                assert said.stdout.strip() == arenas
            set_here["MALLOC_ARENA_MAX"] = arenas
        commands = {"inference": inference_command(), "gateway": gateway_command()}
        command = commands.get(target) or worker_command(target.removesuffix("-worker"))
        assert set_here == dict(each.split("=") for each in command if each.startswith("MALLOC_"))

    def test_no_deployment_overrides_how_its_image_keeps_memory(self) -> None:
        files = [ROOT / "docker-compose.yml", *(ROOT / "deploy" / "k8s").rglob("*.yaml")]
        assert [file for file in files if "MALLOC_" in file.read_text()] == []
        assert not any({"command", "entrypoint"} & set(compose()["services"][name]) for name in SERVICES)

    def test_every_container_is_bounded_and_has_no_more_rights_than_it_needs(self) -> None:
        for name, service in compose()["services"].items():
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"]
            assert service["mem_limit"]
            assert service["pids_limit"]
            assert service["restart"] == ("no" if name in ("bucket", "cli") else "unless-stopped")
            assert all("127.0.0.1" in port for port in service.get("ports", ()))

    def test_the_inference_service_has_memory_for_the_requests_that_it_holds(self) -> None:
        """Model, films at work and /tmp took 900 MB in `tests.load.exams`; requests come on top of that."""
        service = compose()["services"]["inference"]
        in_hand_mb = ServingSettings().in_hand_mb
        assert service["mem_limit"] == "2g"
        assert in_hand_mb + 1024 <= 2048
        assert service["tmpfs"] == ["/tmp:size=512m"]  # noqa: S108  the container's

    def test_the_broker_can_not_be_reached_from_outside_and_has_no_way_out(self) -> None:
        assert compose()["services"]["redis"]["networks"] == ["queue"]
        assert compose()["networks"]["queue"] == {"internal": True}

    @pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not set up: make .venv-deploy/ready")
    @pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.parent.name)
    def test_hadolint_finds_nothing(self, file: Path) -> None:
        told = subprocess.run([str(HADOLINT), str(file)], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout

    def test_no_health_check_goes_through_a_proxy(self) -> None:
        checks = re.findall(r'CMD \["python", "-c", "(.*urllib.*)"\]', (DOCKER / "Dockerfile").read_text())
        assert len(checks) == 5
        assert all("r.build_opener(r.ProxyHandler({}))" in check for check in checks)

    def test_the_gateway_finds_the_certificates_that_its_settings_name(self) -> None:
        for name in ("gateway", "gateway-worker"):
            (mounted,) = compose()["services"][name]["volumes"]
            assert mounted == "${GATEWAY_CERTIFICATES:-./var/certificates}:/etc/gateway-tls:ro"

    def test_dockerfiles_need_no_other_front_end(self) -> None:
        for file in DOCKERFILES:
            assert not file.read_text().startswith("# syntax=")

    @pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
    def test_pages_name_what_is_there(self, page: Path) -> None:
        text = page.read_text()
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert "://" in link or (page.parent / link).exists(), link
        for named in re.findall(
            r"(?:^|[ `(])((?:deploy|docs)/[\w-]+/[\w./-]+\w)", text
        ):  # not kubectl's `deploy/inference`
            assert named == MADE_BY_THE_READER or (ROOT / named).exists(), named
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", text)) <= {(t, "") for t in targets} | {
            ("", t) for t in targets
        }
