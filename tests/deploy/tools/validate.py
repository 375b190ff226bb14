"""Says what is wrong with manifests and dashboards: `.venv-deploy/bin/python validate.py FILE...`, a JSON list of
sentences.

What Kubernetes defines is held against its schemas, strictly; what KEDA, the Prometheus operator and Grafana define,
against models made of their definitions, and for members that these don't know.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cloudcoil.models.keda.v1alpha1 as keda
import cloudcoil.models.prometheus_operator.v1 as operator
import kubernetes_validate
import yaml
from grafana_foundation_sdk.cog import encoder, plugins, runtime
from grafana_foundation_sdk.models.dashboard import Dashboard

RELEASES = ("1.30", "1.37")
OTHERS = {"keda.sh/v1alpha1": keda, "monitoring.coreos.com/v1": operator}


def complaints(manifest: dict[str, Any]) -> list[str]:
    if "panels" in manifest:
        return _of_dashboard(manifest)
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    if manifest["apiVersion"] not in OTHERS:
        return [f"{name}, {release}: {said}" for release in RELEASES for said in _of_kubernetes(manifest, release)]
    if manifest["kind"] == "ScaledJob":  # its pod is one of Kubernetes, and the models of KEDA take no numbers there
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": manifest["metadata"]}
        spec = {**manifest["spec"], "jobTargetRef": {"template": {"spec": {"containers": [{"name": "main"}]}}}}
        of_pod = complaints({**job, "spec": manifest["spec"]["jobTargetRef"]})
        manifest = {**manifest, "spec": spec}
    else:
        of_pod = []
    return of_pod + [f"{name}: {said}" for said in _of_others(manifest)]


def _of_kubernetes(manifest: dict[str, Any], release: str) -> list[str]:
    try:
        kubernetes_validate.validate(manifest, release, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [str(error).splitlines()[0]]
    return []


def _of_others(manifest: dict[str, Any]) -> list[str]:
    model = getattr(OTHERS[manifest["apiVersion"]], manifest["kind"])
    try:
        known = model.model_validate(manifest).model_dump(by_alias=True, exclude_unset=True)
    except ValueError as error:
        return [str(error)]
    return [f"{path} is not known" for path in sorted(_paths(manifest) - _paths(known))]


def _of_dashboard(board: dict[str, Any]) -> list[str]:
    """Grafana's own library leaves out what it does not know when it writes again what it has read."""
    plugins.register_default_plugins()
    kinds = {panel["type"] for panel in board["panels"]} - {"row"}
    strange = [f"panels of the type {kind} are not known" for kind in kinds if not runtime.panelcfg_config(kind)]
    try:
        known = json.loads(json.dumps(Dashboard.from_json(board), cls=encoder.JSONEncoder))
    except (KeyError, TypeError, ValueError) as error:
        return [*strange, f"{board['title']}: {error!r}"]
    return strange + [f"{board['title']}: {path} is not known" for path in sorted(_paths(board) - _paths(known))]


def _paths(value: Any, at: str = "") -> set[str]:
    if isinstance(value, dict):
        return {path for key, inner in value.items() for path in _paths(inner, f"{at}.{key}")} | {at}
    if isinstance(value, list):
        return {path for index, inner in enumerate(value) for path in _paths(inner, f"{at}[{index}]")} | {at}
    return {at}


if __name__ == "__main__":
    texts = [Path(file).read_text() for file in sys.argv[1:]]
    found = [said for text in texts for manifest in yaml.safe_load_all(text) for said in complaints(manifest)]
    print(json.dumps(found))
