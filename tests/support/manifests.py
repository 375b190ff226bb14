"""Renders what deploy/k8s holds: every overlay with every choice of components, by kustomize."""

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
OVERLAYS = ("local", "production")
COMPONENTS = ("gpu", "autoscaling", "network-policies", "monitoring", "ingress", "retraining")  # in the order of use
KUSTOMIZE = shutil.which("kustomize")


def choices() -> list[tuple[str, ...]]:
    return [chosen for count in range(len(COMPONENTS) + 1) for chosen in combinations(COMPONENTS, count)]


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
        document["components"] = [f"../../components/{name}" for name in components]
        (place / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return build(place)


def build(folder: Path) -> list[Manifest]:
    assert KUSTOMIZE
    rendered = subprocess.run([KUSTOMIZE, "build", str(folder)], capture_output=True, text=True, check=False)
    assert rendered.returncode == 0, rendered.stderr
    return list(yaml.load_all(rendered.stdout, Loader=yaml.CSafeLoader))


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and template of all pods."""
    for manifest in manifests:
        template = template_of(manifest)
        if template:
            yield f"{manifest['kind']} {manifest['metadata']['name']}", template


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
