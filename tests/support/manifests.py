"""Renders what deploy/k8s holds: every overlay with components of one's choice, by kustomize."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from shared.local.commands import ROOT

Manifest = dict[str, Any]
K8S = ROOT / "deploy" / "k8s"
OVERLAYS = ("local", "production", "on-premises")
COMPONENTS = ("gpu", "autoscaling", "network-policies", "monitoring", "ingress", "retraining", "pacs")
"""In the order of use."""

IN_BOTH = {("autoscaling", "pacs"): "pacs/autoscaled"}
"""Of two components that are both chosen."""

KUSTOMIZE = shutil.which("kustomize")


def choices() -> list[tuple[str, ...]]:
    """Return no component, each, each pair, all but one, and all: what may clash are two of them."""
    counts = (0, 1, 2, len(COMPONENTS) - 1, len(COMPONENTS))
    return [chosen for count in counts for chosen in combinations(COMPONENTS, count)]


def copy_of_tree(folder: Path) -> Path:
    """deploy/ below `folder`, with generated secrets in the local overlay."""
    ignored = shutil.ignore_patterns("secrets")
    copied = Path(shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=ignored))
    subprocess.run([str(copied / "k8s" / "overlays" / "local" / "make-secrets.sh")], check=True, capture_output=True)
    return copied / "k8s"


def render(k8s: Path, overlay: str, components: tuple[str, ...]) -> list[Manifest]:
    """The overlay with these components in place of those that it names itself."""
    named = k8s / "overlays" / overlay
    with tempfile.TemporaryDirectory(dir=named.parent) as folder:
        place = Path(shutil.copytree(named, folder, dirs_exist_ok=True))
        document = yaml.safe_load((place / "kustomization.yaml").read_text())
        both = [name for pair, name in IN_BOTH.items() if set(pair) <= set(components)]
        document["components"] = [f"../../components/{name}" for name in (*components, *both)]
        (place / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return build(place)


def build(folder: Path) -> list[Manifest]:
    assert KUSTOMIZE
    rendered = subprocess.run([KUSTOMIZE, "build", str(folder)], capture_output=True, text=True, check=False)
    assert rendered.returncode == 0, rendered.stderr
    return list(yaml.load_all(rendered.stdout, Loader=yaml.CSafeLoader))


def redis_secret(overlay: Path, url: str) -> "subprocess.CompletedProcess[str]":
    """What the script prints that makes the Secret `redis`; it changes the overlay's values."""
    environment = {**os.environ, "MAMMO_REDIS_URL": url}
    command = [str(K8S / "redis_secret.py"), str(overlay)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and template of all pods."""
    for manifest in manifests:
        template = template_of(manifest)
        if template:
            yield f"{manifest['kind']} {manifest['metadata']['name']}", template


def environment_of(manifests: list[Manifest], pod: str, secrets: dict[str, dict[str, str]]) -> dict[str, str]:
    """The variables that the manifests give to a pod, on a node with one core."""
    maps = {one["metadata"]["name"]: one["data"] for one in manifests if one["kind"] == "ConfigMap"}
    (container,) = dict(pods(manifests))[pod]["spec"]["containers"]
    found = dict[str, str]()
    for source in container.get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]
    for variable in container["env"]:
        value = _value(variable, secrets)
        found |= {} if value is None else {variable["name"]: value}
    return found


def _value(variable: Manifest, secrets: dict[str, dict[str, str]]) -> str | None:
    if "value" in variable:
        return str(variable["value"])
    source = variable["valueFrom"]
    if "resourceFieldRef" in source:
        return "1"
    asked = source["secretKeyRef"]
    secret = secrets.get(asked["name"], {})
    assert asked["key"] in secret or asked.get("optional"), asked
    return secret.get(asked["key"])


def template_of(manifest: Manifest) -> Manifest | None:
    spec = manifest.get("spec", {})
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    elif manifest["kind"] == "ScaledJob":
        spec = spec["jobTargetRef"]
    return spec["template"] if manifest["kind"] in _WITH_PODS else None


_WITH_PODS = ("Deployment", "StatefulSet", "Job", "CronJob", "ScaledJob")


@cache
def compose() -> Manifest:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))
