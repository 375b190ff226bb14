"""The manifests: each choice of overlay and components renders, is valid, and holds together where no schema looks."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from shared.local.commands import ROOT
from shared.queue.messages import QUEUES
from shared.settings import ServingSettings
from tests.support.judges import TOOLS, complaints, with_tools
from tests.support.manifests import (
    COMPONENTS,
    K8S,
    KUSTOMIZE,
    OVERLAYS,
    Manifest,
    build,
    choices,
    compose,
    copy_of_tree,
    pods,
    redis_secret,
    render,
)
from tests.support.series import exported
from tests.support.settings import VARIABLES

DOCUMENTED = ROOT / "docs" / "how-to" / "kubernetes.md"
QUANTITY = re.compile(r"\d+(\.\d+)?(m|[KMGT]i?)?")

pytestmark = pytest.mark.skipif(KUSTOMIZE is None, reason="kustomize is not on PATH")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """All of them, by what was chosen."""
    k8s = copy_of_tree(tmp_path_factory.mktemp("manifests"))
    wanted = [(overlay, chosen) for overlay in OVERLAYS for chosen in choices()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda choice: render(k8s, *choice), wanted)
        labels = [f"{overlay}: {' '.join(chosen) or 'alone'}" for overlay, chosen in wanted]
        return {**dict(zip(labels, found, strict=True)), "retrain now": build(k8s / "jobs" / "retrain")}


@pytest.fixture(scope="module")
def distinct(rendered: dict[str, list[Manifest]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each manifest that occurs in any of them, once, in one file."""
    texts = {json.dumps(manifest, sort_keys=True) for manifests in rendered.values() for manifest in manifests}
    file = tmp_path_factory.mktemp("distinct") / "manifests.yaml"
    file.write_text("\n---\n".join(sorted(texts)))
    return file


def of_kind(manifests: list[Manifest], *kinds: str) -> Iterator[Manifest]:
    return (manifest for manifest in manifests if manifest["kind"] in kinds)


def names(manifests: list[Manifest], *kinds: str) -> set[str]:
    return {manifest["metadata"]["name"] for manifest in of_kind(manifests, *kinds)}


def container(template: Manifest) -> Manifest:
    (only,) = template["spec"]["containers"]
    return only


def _secrets_asked_for(manifests: list[Manifest]) -> Iterator[tuple[str, str]]:
    for _, template in pods(manifests):
        for variable in container(template).get("env", ()):
            asked = variable.get("valueFrom", {}).get("secretKeyRef")
            if asked:
                yield asked["name"], asked["key"]
    for one in of_kind(manifests, "TriggerAuthentication"):
        yield from ((asked["name"], asked["key"]) for asked in one["spec"]["secretTargetRef"])
    for one in of_kind(manifests, "ServiceMonitor"):
        asked = one["spec"]["endpoints"][0]["authorization"]["credentials"]
        yield asked["name"], asked["key"]


def _settings(manifests: list[Manifest]) -> Iterator[set[str]]:
    return (set(one["data"]) for one in of_kind(manifests, "ConfigMap") if one["metadata"]["name"] == "settings")


def _number(quantity: str | int) -> float:
    text = str(quantity)
    assert QUANTITY.fullmatch(text), text
    digits = re.match(r"[\d.]+", text)
    assert digits
    factors = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    return float(digits[0]) * factors[text[digits.end() :]]


class TestKubernetes:
    def test_every_choice_renders(self, rendered: dict[str, list[Manifest]]) -> None:
        assert len(rendered) == len(OVERLAYS) * len(choices()) + 1
        assert {path.name for path in (K8S / "components").iterdir()} == set(COMPONENTS)
        assert {path.name for path in (K8S / "overlays").iterdir()} == set(OVERLAYS)

    @with_tools
    def test_they_are_valid(self, distinct: Path) -> None:
        assert complaints(distinct) == []

    @with_tools
    def test_what_is_not_valid_is_found(self, tmp_path: Path) -> None:
        wrong = [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "dta": {}},
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": {"name": "b"},
                "spec": {"triggers": []},
            },
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": {"name": "c"},
                "spec": {"scaleTargetRef": {"name": "c"}, "triggers": [], "maxReplicas": 1},
            },
        ]
        (tmp_path / "wrong.yaml").write_text(yaml.safe_dump_all(wrong))
        said = complaints(tmp_path / "wrong.yaml")
        assert [any(f" {name}" in line.split(":")[0] for line in said) for name in "abc"] == [True] * 3
        assert any(".spec.maxReplicas is not known" in line for line in said)

    @with_tools
    def test_checkov_finds_nothing_that_is_not_waived(self, distinct: Path) -> None:
        command = [str(TOOLS / "checkov"), "--file", str(distinct), "--config-file", str(K8S / ".checkov.yaml")]
        told = subprocess.run([*command, "--skip-download"], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout

    def test_selectors_match_the_labels_of_pods(self, rendered: dict[str, list[Manifest]]) -> None:
        for choice, manifests in rendered.items():
            labels = {name: template["metadata"]["labels"] for name, template in pods(manifests)}
            for manifest in of_kind(manifests, "Deployment", "StatefulSet"):
                name = f"{manifest['kind']} {manifest['metadata']['name']}"
                assert manifest["spec"]["selector"]["matchLabels"].items() <= labels[name].items(), (choice, name)
            for manifest in of_kind(manifests, "Service", "PodDisruptionBudget", "PodMonitor"):
                if manifest["metadata"]["name"] == "gateway" and "pacs" not in choice:
                    continue  # what Prometheus scrapes of the gateway, where there is one
                selector = manifest["spec"]["selector"]
                wanted = selector.get("matchLabels", selector)
                hit = [name for name, own in labels.items() if wanted.items() <= own.items()]
                assert hit, (choice, manifest["kind"], manifest["metadata"]["name"])

    def test_ports_are_there_that_others_name(self, rendered: dict[str, list[Manifest]]) -> None:
        for choice, manifests in rendered.items():
            templates = [template for _, template in pods(manifests)]
            for template in templates:
                ports = {port["name"] for port in container(template).get("ports", ())}
                probes = [container(template).get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")]
                asked = {(p.get("httpGet") or p.get("tcpSocket") or {}).get("port") for p in probes} - {None}
                assert asked <= ports, choice
            for service in of_kind(manifests, "Service"):
                wanted = service["spec"]["selector"].items()
                behind = [container(one) for one in templates if wanted <= one["metadata"]["labels"].items()]
                targets = {port["targetPort"] for port in service["spec"]["ports"]}
                for one in behind:
                    assert targets <= {port["name"] for port in one["ports"]}, (choice, service["metadata"]["name"])
            offered = {port["name"] for service in of_kind(manifests, "Service") for port in service["spec"]["ports"]}
            for ingress in of_kind(manifests, "Ingress"):
                (rule,) = ingress["spec"]["rules"]
                for path in rule["http"]["paths"]:
                    assert path["backend"]["service"]["name"] in names(manifests, "Service")
                    assert path["backend"]["service"]["port"]["name"] in offered
                assert [rule["host"]] == ingress["spec"]["tls"][0]["hosts"]
            for monitor in of_kind(manifests, "ServiceMonitor"):
                assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= offered

    def test_ports_are_those_that_the_images_listen_on(self, rendered: dict[str, list[Manifest]]) -> None:
        dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
        exposed = {int(port) for line in re.findall(r"^EXPOSE (.+)", dockerfile, re.MULTILINE) for port in line.split()}
        for manifests in rendered.values():
            for _, template in pods(manifests):
                if container(template)["image"].rpartition("/")[0].endswith("mammostack"):
                    assert {port["containerPort"] for port in container(template).get("ports", ())} <= exposed
            for policy in of_kind(manifests, "NetworkPolicy"):
                for rule in policy["spec"].get("ingress", ()):
                    assert {port["port"] for port in rule["ports"]} <= exposed | {6379, 7070}

    def test_what_is_referenced_exists(self, rendered: dict[str, list[Manifest]], tmp_path: Path) -> None:
        documented = DOCUMENTED.read_text()
        made = redis_secret(
            copy_of_tree(tmp_path) / "overlays" / "production", "redis://:secret@redis.example.org:6379/0"
        )
        of_redis = json.loads(made.stdout)["stringData"]
        for choice, manifests in rendered.items():
            if choice == "retrain now":
                continue
            maps = {one["metadata"]["name"]: set(one["data"]) for one in of_kind(manifests, "ConfigMap")}
            secrets = {one["metadata"]["name"]: set(one["data"]) for one in of_kind(manifests, "Secret")}
            for name, template in pods(manifests):
                of_gateway = template["spec"].get("serviceAccountName") == "gateway"
                wanted = ["settings", "gateway"] if of_gateway else ["settings"]
                named = [one["configMapRef"]["name"] for one in container(template).get("envFrom", ())]
                assert named in ([], wanted), (choice, name)
                assert set(named) <= set(maps), (choice, name)
                assert template["spec"].get("serviceAccountName", "operator") in names(manifests, "ServiceAccount"), (
                    choice
                )
                mounts = {mount["name"] for mount in container(template).get("volumeMounts", ())}
                volumes = {volume["name"] for volume in template["spec"].get("volumes", ())}
                assert mounts - volumes <= {"data"}, (choice, name)
            assert "settings" in maps
            for secret, key in _secrets_asked_for(manifests):
                if choice.startswith("local"):
                    assert key in secrets[secret], (choice, secret, key)
                elif secret == "redis":
                    assert key in of_redis
                else:
                    assert re.search(rf"secret generic {secret}\b.*?--from-literal={key}=", documented, re.DOTALL)
            for scaled in of_kind(manifests, "ScaledObject", "HorizontalPodAutoscaler"):
                assert scaled["spec"]["scaleTargetRef"]["name"] in names(manifests, "Deployment"), choice

    def test_variables_are_settings_and_none_that_is_needed_is_missing(
        self, rendered: dict[str, list[Manifest]]
    ) -> None:
        known = set(VARIABLES)
        required = {name for name, field in VARIABLES.items() if field.is_required()}
        others = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "METRICS_KEY", "KEDA_DATABASE"}
        for choice, manifests in rendered.items():
            settings = next(_settings(manifests), {"MAMMO_STORE"})  # the Job that retrains takes those of the base
            assert settings <= known
            for name, template in pods(manifests):
                if not container(template)["image"].rpartition("/")[0].endswith("mammostack"):
                    continue
                own = [variable["name"] for variable in container(template)["env"]]
                assert len(own) == len(set(own)), (choice, name)
                assert set(own) <= known | others, (choice, name)
                assert required <= set(own) | settings, (choice, name)

    def test_quantities_can_be_read_and_no_request_is_above_its_limit(
        self, rendered: dict[str, list[Manifest]]
    ) -> None:
        for choice, manifests in rendered.items():
            for name, template in pods(manifests):
                resources = container(template)["resources"]
                assert {"cpu", "memory", "ephemeral-storage"} <= resources["requests"].keys(), (choice, name)
                for what, requested in resources["requests"].items():
                    assert 0 < _number(requested) <= _number(resources["limits"][what]), (choice, name, what)
                in_memory = [v["emptyDir"] for v in template["spec"].get("volumes", ()) if "emptyDir" in v]
                assert all(QUANTITY.fullmatch(volume["sizeLimit"]) for volume in in_memory)

    def test_the_inference_service_has_memory_for_the_requests_that_it_holds_and_the_ingress_lets_them_in(self) -> None:
        """Model, films at work and /tmp, which is in memory, took 900 MB in `tests.load.exams`."""
        limits = (K8S / "base" / "inference.yaml").read_text()
        (memory,) = re.findall(r"limits: {.*memory: (\d+)Mi", limits)
        assert int(memory) >= ServingSettings().in_hand_mb + 1024
        ingress = (K8S / "components" / "ingress" / "ingress.yaml").read_text()
        (body,) = re.findall(r"proxy-body-size: (\d+)m", ingress)
        assert int(body) > ServingSettings().max_request_mb

    def test_images_are_those_that_compose_builds_or_runs(self, rendered: dict[str, list[Manifest]]) -> None:
        images = {service["image"].partition(":")[0] for service in compose()["services"].values()}
        images |= {"mammostack/train-cuda"}  # the same recipe with another argument
        for choice, manifests in rendered.items():
            for name, template in pods(manifests):
                image = re.sub(r"^[\w.-]+\.[\w.-]+/(?=mammostack/)", "", container(template)["image"])
                assert image.rpartition(":")[0] in images, (choice, name)
                assert not image.endswith(":latest")

    def test_pods_keep_to_the_restricted_profile(self, rendered: dict[str, list[Manifest]]) -> None:
        for choice, manifests in rendered.items():
            for name, template in pods(manifests):
                pod, own = template["spec"]["securityContext"], container(template)["securityContext"]
                assert pod["runAsNonRoot"], (choice, name)
                assert pod["runAsUser"] > 10000
                assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
                assert own["capabilities"] == {"drop": ["ALL"]}
                assert not own["allowPrivilegeEscalation"]
                assert own["readOnlyRootFilesystem"]
                assert template["spec"]["automountServiceAccountToken"] is False

    def test_ready_means_that_a_model_answers(self, rendered: dict[str, list[Manifest]]) -> None:
        for manifests in rendered.values():
            for name, template in pods(manifests):
                if name == "Deployment inference":
                    assert container(template)["readinessProbe"]["httpGet"]["path"] == "/readyz"
                    assert container(template)["livenessProbe"]["httpGet"]["path"] == "/healthz"

    def test_autoscalers_look_at_the_queues_of_the_workers(self, rendered: dict[str, list[Manifest]]) -> None:
        def scaled(choice: str) -> dict[str, str]:
            return {
                one["metadata"]["name"].removesuffix("-worker"): one["spec"]["triggers"][0]["metadata"]["listName"]
                for one in of_kind(rendered[choice], "ScaledObject", "ScaledJob")
            }

        assert scaled("production: autoscaling pacs") == {queue: queue for queue in QUEUES.values()}
        assert scaled("production: autoscaling") == {queue: queue for queue in QUEUES.values() if queue != "gateway"}

    def test_the_service_scales_by_a_series_that_it_exports(self, rendered: dict[str, list[Manifest]]) -> None:
        (scaler,) = of_kind(rendered["production: autoscaling"], "HorizontalPodAutoscaler")
        (metric,) = scaler["spec"]["metrics"]
        assert metric["pods"]["metric"]["name"] in exported()
        (target,) = [
            one
            for one in of_kind(rendered["production: autoscaling"], "Deployment")
            if one["metadata"]["name"] == "inference"
        ]
        assert "replicas" not in target["spec"], "apply would set it back"

    def test_no_scale_in_ends_a_training_worker(self, rendered: dict[str, list[Manifest]]) -> None:
        manifests = rendered["production: gpu autoscaling"]
        assert "train" not in names(manifests, "Deployment", "PodDisruptionBudget")
        (job,) = [template for name, template in pods(manifests) if name == "ScaledJob train"]
        assert job["spec"]["restartPolicy"] == "Never"
        assert {"name": "MAMMO_WORKER_IDLE_S", "value": "600"} in container(job)["env"]
        assert container(job)["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert "train-cuda" in container(job)["image"]

    def test_commands_are_typed_where_the_operators_rights_are(self, rendered: dict[str, list[Manifest]]) -> None:
        pages = "".join(page.read_text() for page in DOCUMENTED.parent.glob("*.md"))
        accounts = {name: one["spec"]["serviceAccountName"] for name, one in pods(rendered["production: pacs"])}
        typed = re.findall(r"exec deploy/([\w-]+) -- (\S+ \w+)", pages)
        assert {command for _, command in typed} >= {"./mammo ingest", "./mammo gateway"}
        for place, command in typed:
            assert accounts[f"Deployment {place}"] == ("gateway" if command == "./mammo gateway" else "operator"), (
                command
            )

    def test_with_network_policies_nobody_is_left_out(self, rendered: dict[str, list[Manifest]]) -> None:
        manifests = rendered["local: network-policies pacs"]
        assert "deny-all" in names(manifests, "NetworkPolicy")
        components = {template["metadata"]["labels"]["app.kubernetes.io/component"] for _, template in pods(manifests)}
        assert components == {"worker", "api", "command", "storage", "gateway"}

    def test_the_namespace_admits_restricted_pods_alone(self, rendered: dict[str, list[Manifest]]) -> None:
        for choice, manifests in rendered.items():
            for namespace in of_kind(manifests, "Namespace"):
                assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
            inside = [one for one in manifests if one["kind"] != "Namespace"]
            assert {one["metadata"]["namespace"] for one in inside} == {"mammostack"}, choice

    def test_generated_secrets_are_left_alone_the_second_time(self, tmp_path: Path) -> None:
        folder = copy_of_tree(tmp_path) / "overlays" / "local"
        before = {file.name: file.read_bytes() for file in (folder / "secrets").iterdir()}
        subprocess.run([str(folder / "make-secrets.sh")], check=True, capture_output=True)
        assert {file.name: file.read_bytes() for file in (folder / "secrets").iterdir()} == before
        assert (folder / "secrets").stat().st_mode & 0o077 == 0
