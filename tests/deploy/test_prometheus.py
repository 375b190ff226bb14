"""Prometheus scrapes every service of compose that has metrics, under the names that alerts use."""

import re
from typing import Any

import yaml

from shared.local.commands import ROOT
from tests.support.manifests import compose

FOLDER = ROOT / "deploy" / "prometheus"
OTHERS = {"celery", "redis", "prometheus"}
WITHOUT_METRICS = {"bucket", "cli"}
WITHOUT_QUEUE = {"inference", "gateway"}


def jobs() -> dict[str, Any]:
    return {job["job_name"]: job for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]}


class TestPrometheus:
    def test_every_service_of_ours_is_scraped(self) -> None:
        ours = {name for name, service in compose()["services"].items() if "build" in service} - WITHOUT_METRICS
        found = [places for name, job in jobs().items() if name not in OTHERS for places in job["dns_sd_configs"]]
        assert {name for places in found for name in places["names"]} == ours

    def test_the_alert_about_workers_knows_those_of_every_queue(self) -> None:
        groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
        (rule,) = (rule for group in groups for rule in group["rules"] if rule.get("alert") == "NoWorker")
        (named,) = re.findall(r'up\{job=~"([a-z|-]+)"\}', rule["expr"])
        assert set(named.split("|")) == set(jobs()) - OTHERS - WITHOUT_QUEUE
