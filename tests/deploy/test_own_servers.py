"""Values that an operator edits: one place each, from which Secret, autoscalers and network policies follow."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.gateway.bootstrap import certificates_of
from services.gateway.transport.tls import Certificates
from shared.local.commands import ROOT
from shared.settings import GatewayProcessSettings, read_settings
from shared.store.api_keys import new_key
from tests.support.manifests import (
    COMPONENTS,
    K8S,
    KUSTOMIZE,
    OVERLAYS,
    Manifest,
    copy_of_tree,
    environment_of,
    pods,
    redis_secret,
    render,
)

PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"
URL = "rediss://mammo:p%40ss@redis.example.org:6390/3?ssl_cert_reqs=required"
OWN = {
    "redis-port": "6390",
    "redis-database": "3",
    "s3-port": "9001",
    "keda-namespace": "scaling",
    "ingress-namespace": "edge",
    "monitoring-namespace": "watching",
    "pacs-cidr": "198.51.100.16/28",
    "pacs-web-port": "8443",
    "pacs-dicom-port": "2762",
}

SECRETS = {
    "redis": {"url": URL},
    "api-keys": {"predict": new_key()},
    "gateway": {"token": "made-up", "pacs-user": "", "pacs-password": "", "pacs-token": ""},
}
IMAGE_OF_GATEWAY = {"MAMMO_GATEWAY_HOST": "0.0.0.0", "MAMMO_GATEWAY_DICOM_PORT": "11112"}

with_kustomize = pytest.mark.skipif(KUSTOMIZE is None, reason="kustomize is not on PATH")


def values(overlay: Path) -> dict[str, str]:
    return dict(yaml.safe_load((overlay / "values.yaml").read_text())["data"])


@pytest.fixture
def k8s(tmp_path: Path) -> Path:
    return copy_of_tree(tmp_path)


class TestRedisSecret:
    def test_secret_and_values_follow_from_the_url(self, k8s: Path) -> None:
        overlay = k8s / "overlays" / "on-premises"
        comments = (overlay / "values.yaml").read_text().count("#")
        made = json.loads(redis_secret(overlay, URL).stdout)
        assert made["metadata"] == {"name": "redis", "namespace": "mammostack"}
        assert made["stringData"] == {
            "url": URL,
            "address": "redis.example.org:6390",
            "username": "mammo",
            "password": "p@ss",
            "tls": "enable",
        }
        assert values(overlay).items() >= {"redis-port": "6390", "redis-database": "3"}.items()
        assert (overlay / "values.yaml").read_text().count("#") == comments

    @pytest.mark.parametrize(
        ("url", "address", "database"),
        [
            ("redis://:secret@10.0.0.9", "10.0.0.9:6379", "0"),
            ("redis://:secret@[fd00::1]:7000/12", "[fd00::1]:7000", "12"),
        ],
    )
    def test_what_a_url_leaves_out_has_its_default(self, k8s: Path, url: str, address: str, database: str) -> None:
        overlay = k8s / "overlays" / "local"
        made = json.loads(redis_secret(overlay, url).stdout)
        assert (made["stringData"]["address"], made["stringData"]["tls"]) == (address, "disable")
        assert values(overlay)["redis-database"] == database

    @pytest.mark.parametrize(
        "url", ["", "http://:secret@host:6379/0", "redis://:secret@host:6379/three", "redis://:secret@host:port/0"]
    )
    def test_another_url_is_refused_without_its_password(self, k8s: Path, url: str) -> None:
        before = (k8s / "overlays" / "local" / "values.yaml").read_text()
        said = redis_secret(k8s / "overlays" / "local", url)
        assert said.returncode == 1
        assert "MAMMO_REDIS_URL" in said.stderr
        assert "secret" not in said.stdout + said.stderr.replace("redis_secret.py", "")
        assert (k8s / "overlays" / "local" / "values.yaml").read_text() == before


@with_kustomize
class TestValues:
    @pytest.fixture(scope="class")
    def rendered(self, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, list[Manifest]]:
        """All components over `on-premises`: with values of its own, and as shipped."""
        k8s = copy_of_tree(tmp_path_factory.mktemp("values"))
        file = k8s / "overlays" / "on-premises" / "values.yaml"
        shipped = render(k8s, "on-premises", COMPONENTS)
        document = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump({**document, "data": OWN}))
        return {True: render(k8s, "on-premises", COMPONENTS), False: shipped}

    def test_they_are_not_applied(self, rendered: dict[bool, list[Manifest]]) -> None:
        assert not [one for one in rendered[True] if one["metadata"]["name"] == "values"]

    def test_triggers_watch_the_database_of_the_url(self, rendered: dict[bool, list[Manifest]]) -> None:
        scaled = [one for one in rendered[True] if one["kind"] in ("ScaledObject", "ScaledJob")]
        assert len(scaled) == 5
        assert {one["spec"]["triggers"][0]["metadata"]["databaseIndex"] for one in scaled} == {"3"}

    @pytest.mark.parametrize(
        ("url", "fits"),
        [
            ("redis://:secret@host:6379/3", True),
            ("rediss://u:secret@host:6379/3?ssl_cert_reqs=required", True),
            ("redis://:secret@host:6379/0", False),
            ("redis://:secret@host:6379", False),
            ("redis://:secret@host:6379/", False),
            ("redis://:secret@host:6379/33", False),
        ],
    )
    def test_set_up_refuses_a_url_with_another_database(
        self, rendered: dict[bool, list[Manifest]], tmp_path: Path, url: str, fits: bool
    ) -> None:
        for name in ("python", "mammo"):
            (tmp_path / name).write_text("#!/bin/sh\necho did $*\n")
            (tmp_path / name).chmod(0o755)
        (job,) = [template for name, template in pods(rendered[True]) if name == "Job set-up"]
        (container,) = job["spec"]["containers"]
        (database,) = [each["value"] for each in container["env"] if each["name"] == "KEDA_DATABASE"]
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "KEDA_DATABASE": database, "MAMMO_REDIS_URL": url}
        done = subprocess.run(
            container["command"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == (0 if fits else 1), done.stderr
        assert ("did -m shared.store.bucket" in done.stdout) is fits
        assert ("KEDA watches database 3" in done.stderr) is not fits
        assert "secret" not in done.stdout + done.stderr.replace("redis_secret", "")

    def test_each_value_reaches_every_place_where_the_shipped_one_stood(
        self, rendered: dict[bool, list[Manifest]]
    ) -> None:
        shipped = values(K8S / "overlays" / "on-premises")
        for name, value in OWN.items():
            if name in ("redis-database", "pacs-web-port"):
                continue  # "0" and 443 stand elsewhere for other things
            before = places(rendered[False], shipped[name])
            assert before, name
            assert places(rendered[True], value) == before, name
        assert len(places(rendered[True], OWN["pacs-web-port"])) == 1

    def test_ports_stay_numbers(self, rendered: dict[bool, list[Manifest]]) -> None:
        policies = [one for one in rendered[True] if one["kind"] == "NetworkPolicy"]
        ports = re.findall(r'"port": ("?\w+"?)', json.dumps(policies))
        assert {"6390", "9001", "8443", "2762"} <= set(ports)
        assert all(port.isdigit() for port in ports)


def places(manifests: list[Manifest], value: str) -> set[str]:
    """Where a value stands in policies and in the gateway's load balancer."""
    found = set[str]()

    def look(at: str, node: Any) -> None:
        if isinstance(node, dict):
            for key, inner in node.items():
                look(f"{at}.{key}", inner)
        elif isinstance(node, list):
            for index, inner in enumerate(node):
                look(f"{at}.{index}", inner)
        elif str(node) == value:
            found.add(at)

    for one in manifests:
        if one["kind"] == "NetworkPolicy":  # the ports of `storage` are those of the local overlay's own servers
            of_storage = one["metadata"]["name"] == "storage"
            look(one["metadata"]["name"], one["spec"]["ingress"][0]["from"] if of_storage else one["spec"])
        if one["metadata"]["name"] == "gateway-dicom":
            look("gateway-dicom", one["spec"]["loadBalancerSourceRanges"])
    return found


@with_kustomize
class TestGateway:
    @pytest.fixture(scope="class")
    def manifests(self, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
        return render(copy_of_tree(tmp_path_factory.mktemp("pacs")), "on-premises", ("pacs",))

    @pytest.mark.parametrize("pod", ["gateway", "gateway-worker"])
    def test_its_settings_are_complete_as_shipped(
        self, manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch, pod: str
    ) -> None:
        for name, value in {**IMAGE_OF_GATEWAY, **environment_of(manifests, f"Deployment {pod}", SECRETS)}.items():
            monkeypatch.setenv(name, value)
        if pod == "gateway-worker":
            monkeypatch.setenv("MAMMO_GATEWAY_HOST", "127.0.0.1")  # as its image says
        settings = read_settings(GatewayProcessSettings)
        assert settings.pacs.places == ("https://pacs.example.org/dicom-web",)
        assert settings.gateway.inference_url == "http://inference"
        assert certificates_of(settings.gateway) == Certificates(
            *(f"/etc/gateway-tls/{name}" for name in ("tls.crt", "tls.key", "ca.crt"))
        )

    def test_only_the_process_that_needs_a_secret_has_it(self, manifests: list[Manifest]) -> None:
        gateway, worker = (
            environment_of(manifests, f"Deployment {pod}", SECRETS) for pod in ("gateway", "gateway-worker")
        )
        assert "MAMMO_GATEWAY_TOKEN" in gateway.keys() - worker.keys()
        assert "MAMMO_API_KEY" in worker.keys() - gateway.keys()

    def test_without_tls_the_paths_are_cleared(
        self, manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cleared = {f"MAMMO_GATEWAY_TLS_{name}": "" for name in ("CERT", "KEY", "CA")}
        found = environment_of(manifests, "Deployment gateway", SECRETS)
        for name, value in {**IMAGE_OF_GATEWAY, **found, **cleared}.items():
            monkeypatch.setenv(name, value)
        assert certificates_of(read_settings(GatewayProcessSettings).gateway) is None


@with_kustomize
class TestHowTo:
    """The commands of the page, as far as they can be judged without a cluster."""

    @pytest.fixture(scope="class")
    def commands(self) -> list[list[str]]:
        blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        split = [shlex.split(part, comments=True) for line in lines for part in line.split(" | ")]
        return [command for command in split if command]

    @pytest.fixture(scope="class")
    def manifests(self, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
        return render(copy_of_tree(tmp_path_factory.mktemp("how-to")), "on-premises", COMPONENTS)

    def test_what_kubectl_names_is_there(self, commands: list[list[str]], manifests: list[Manifest]) -> None:
        kinds = {"deploy": "Deployment", "job": "Job", "service": "Service"}
        there = {f"{one['kind']} {one['metadata']['name']}" for one in manifests}
        named = {
            f"{kinds[kind]} {name}"
            for command in commands
            if "kubectl" in " ".join(command)
            for kind, name in re.findall(r"(?<!\S)(deploy|job|service)/([\w-]+)(?!\S)", " ".join(command))
        }
        assert {"Deployment operator", "Deployment inference", "Job set-up", "Service inference"} <= named <= there

    def test_folders_that_are_applied_are_overlays(self, commands: list[list[str]]) -> None:
        applied = {command[command.index("-k") + 1] for command in commands if "-k" in command}
        assert applied == {"deploy/k8s/overlays/local", "deploy/k8s/overlays/mine"}
        assert any(command[:2] == ["deploy/k8s/redis_secret.py", "deploy/k8s/overlays/mine"] for command in commands)

    def test_ports_that_are_forwarded_are_those_of_the_service(
        self, commands: list[list[str]], manifests: list[Manifest]
    ) -> None:
        (forwarded,) = [command for command in commands if "port-forward" in command]
        (service,) = [one for one in manifests if one["kind"] == "Service" and one["metadata"]["name"] == "inference"]
        here, there = forwarded[-2].split(":") if forwarded[-1] == "&" else forwarded[-1].split(":")
        assert int(there) in [port["port"] for port in service["spec"]["ports"]]
        (asked,) = [command for command in commands if command[0] == "curl"]
        assert asked[-1] == f"http://127.0.0.1:{here}/v1/predictions"

    def test_files_of_the_repository_are_there(self, commands: list[list[str]]) -> None:
        named = {
            word for command in commands for word in command if word.startswith("deploy/") and "/overlays/" in word
        }
        assert {word for word in named if not (ROOT / word).exists()} == {"deploy/k8s/overlays/mine"}


class TestOwnServers:
    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_overlays_have_the_same_values(self, overlay: str) -> None:
        assert values(K8S / "overlays" / overlay).keys() == OWN.keys()

    def test_s3_port_of_each_overlay_is_that_of_its_address(self) -> None:
        local = yaml.safe_load((K8S / "overlays" / "local" / "kustomization.yaml").read_text())["patches"][0]["patch"]
        addresses = {
            "local": yaml.safe_load(local)["data"],
            **{
                name: yaml.safe_load((K8S / "overlays" / name / "settings.yaml").read_text())["data"]
                for name in ("production", "on-premises")
            },
        }
        for name, settings in addresses.items():
            address = settings.get("MAMMO_S3_ENDPOINT_URL", "https://aws:443")
            assert address.endswith(f":{values(K8S / 'overlays' / name)['s3-port']}"), name
