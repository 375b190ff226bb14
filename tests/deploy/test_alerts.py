"""The alerts fire and don't fire as their tests say, each has both and a runbook, and Kubernetes gets the same ones."""

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.local.commands import ROOT
from tests.support.series import exported

PROMETHEUS = ROOT / "deploy" / "prometheus"
MONITORING = ROOT / "deploy" / "k8s" / "components" / "monitoring"
PROMTOOL = shutil.which("promtool")
AMTOOL = shutil.which("amtool")

with_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on PATH: apt-get install prometheus")


BASE = '{{ or $externalLabels.runbooks "deploy/runbooks" }}/'
"""In front of the name of each runbook: the configured address, else the path."""

LEAST = (2, 53)
"""Releases before keep one sample of a series in such tests (seen with 2.42), so that nothing fires."""


def release_of_promtool() -> tuple[int, ...]:
    told = subprocess.run([PROMTOOL or "", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)", told.stdout + told.stderr)
    assert found, told.stdout
    return tuple(int(part) for part in found.groups())


def alerts() -> dict[str, Any]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    assert PROMTOOL
    return subprocess.run([PROMTOOL, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)


def start_alertmanager(folder: Path, url: str) -> "subprocess.CompletedProcess[str]":
    """Run the command of compose's container in a folder, with a program that prints its configuration."""
    shell, option, script = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["alertmanager"][
        "entrypoint"
    ]
    script = (
        script.replace("$$", "$")
        .replace("/etc/alertmanager/", f"{PROMETHEUS}/")
        .replace(">/tmp/", f">{folder}/")
        .replace("=/tmp/", f"={folder}/")
    )
    (folder / "alertmanager").write_text('#!/bin/sh\ncat "${1#--config.file=}"\n')
    (folder / "alertmanager").chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "ALERTS_URL": url}
    return subprocess.run([shell, option, script], env=environment, capture_output=True, text=True, check=False)


class TestAlerts:
    @with_promtool
    def test_rules_and_configuration_are_valid(self, tmp_path: Path) -> None:
        assert (told := promtool("check", "rules", "alerts.yml")).returncode == 0, told.stderr
        # the key is written by the container's command
        assert (told := promtool("check", "config", "--syntax-only", "prometheus.yml")).returncode == 0, told.stderr

    @pytest.mark.skipif(AMTOOL is None, reason="amtool is not on PATH: apt-get install prometheus-alertmanager")
    @pytest.mark.parametrize("severity", ["page", "ticket", "watchdog"])
    def test_alertmanager_has_a_route_of_its_own_for_each_severity(self, severity: str) -> None:
        def amtool(*arguments: str) -> str:
            return subprocess.check_output([str(AMTOOL), *arguments], cwd=PROMETHEUS, text=True)

        assert "SUCCESS" in amtool("check-config", "alertmanager.yml")
        tree = amtool("config", "routes", "test", "--tree", "--config.file=alertmanager.yml", f"severity={severity}")
        assert f'{{severity="{severity}"}}' in tree

    def test_compose_starts_alertmanager_with_a_receiver_and_refuses_without(self, tmp_path: Path) -> None:
        refused = start_alertmanager(tmp_path, "")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "set ALERTS_URL in .env" in refused.stderr
        started = yaml.safe_load(start_alertmanager(tmp_path, "https://alarm.example.org/?a=1&b=2|3").stdout)
        (receiver,) = started["receivers"]
        assert receiver["webhook_configs"] == [{"url": "https://alarm.example.org/?a=1&b=2|3"}]
        routes = [started["route"], *started["route"]["routes"]]
        assert {route["receiver"] for route in routes} == {receiver["name"]}

    @with_promtool
    @pytest.mark.skipif(
        bool(PROMTOOL) and release_of_promtool() < LEAST,
        reason=f"promtool is older than {'.'.join(map(str, LEAST))}: take that of a newer Prometheus",
    )
    def test_each_fires_and_does_not_fire_as_its_tests_say(self) -> None:
        assert (told := promtool("test", "rules", "alerts_test.yml")).returncode == 0, told.stdout + told.stderr

    def test_each_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(self) -> None:
        seen: dict[str, set[bool]] = defaultdict(set)
        for case in yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]:
            for test in case["alert_rule_test"]:
                seen[test["alertname"]].add(bool(test["exp_alerts"]))
        always = {"Watchdog": {True}}  # the one that never stops
        assert seen == {name: {True, False} for name in alerts()} | always

    def test_each_has_a_severity_a_summary_and_a_runbook_and_each_runbook_an_alert(self) -> None:
        books = set()
        for name, rule in alerts().items():
            assert rule["labels"]["severity"] in ("page", "ticket", "watchdog")
            annotations = rule["annotations"]
            assert annotations["summary"]
            assert annotations["runbook_url"].startswith(BASE)
            book = ROOT / "deploy" / "runbooks" / annotations["runbook_url"].removeprefix(BASE)
            assert book.read_text().startswith(f"# {name}: ")
            books.add(book)
        assert books == set((ROOT / "deploy" / "runbooks").glob("*.md"))

    @with_promtool
    @pytest.mark.parametrize(
        ("labels", "base"),
        [
            ({"runbooks": "https://git.example.org/runbooks"}, "https://git.example.org/runbooks"),
            ({}, "deploy/runbooks"),
        ],
        ids=["configured", "not configured"],
    )
    def test_the_address_of_a_runbook_is_whole_if_its_base_is_configured(
        self, tmp_path: Path, labels: dict[str, str], base: str
    ) -> None:
        addresses = {name: rule["annotations"]["runbook_url"] for name, rule in alerts().items()}
        rules = [
            {"alert": name, "expr": "vector(1)", "annotations": {"runbook_url": address}}
            for name, address in addresses.items()
        ]
        expected = [
            {
                "eval_time": "1m",
                "alertname": name,
                "exp_alerts": [{"exp_annotations": {"runbook_url": f"{base}/{address.removeprefix(BASE)}"}}],
            }
            for name, address in addresses.items()
        ]
        case = {"interval": "1m", "external_labels": labels, "alert_rule_test": expected}
        (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "addresses", "rules": rules}]}))
        (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [case]}))
        told = promtool("test", "rules", str(tmp_path / "test.yml"))
        assert told.returncode == 0, told.stdout + told.stderr

    def test_compose_configures_the_base_of_the_addresses_and_keeps_it_off_the_alerts(self) -> None:
        shipped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        assert shipped["global"]["external_labels"] == {"runbooks": "${RUNBOOKS_URL}"}
        assert {"regex": "runbooks", "action": "labeldrop"} in shipped["alerting"]["alert_relabel_configs"]
        assert compose["services"]["prometheus"]["environment"]["RUNBOOKS_URL"] == "${RUNBOOKS_URL:-}"

    def test_they_look_at_series_that_are_exported(self) -> None:
        text = " ".join(str(rule["expr"]) for rule in alerts().values())
        asked = {
            name.removesuffix("_bucket").removesuffix("_count") for name in re.findall(r"\b(?:mammo|celery)_\w+", text)
        }
        assert asked <= exported()

    def test_kubernetes_has_the_same_ones(self, tmp_path: Path) -> None:
        copied = Path(shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets")))
        made = copied / "k8s" / "components" / "monitoring"
        subprocess.run([str(made / "make-rules.sh")], check=True)
        assert (made / "rules.yaml").read_text() == (MONITORING / "rules.yaml").read_text(), "run make-rules.sh"
        same = yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]
        assert same == yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
