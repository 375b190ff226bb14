"""The exporter of Redis, given what docker-compose.yml gives it, tells what the documents say of a broker."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import requests
import yaml

from shared.local.broker import free_port
from shared.local.commands import ROOT
from tests.support.manifests import compose
from tests.support.servers import wait_until

REDIS_EXPORTER = shutil.which("redis_exporter") or shutil.which("prometheus-redis-exporter")

pytestmark = pytest.mark.skipif(
    REDIS_EXPORTER is None, reason="no exporter of Redis: apt-get install prometheus-redis-exporter"
)


@contextmanager
def exporter(redis_url: str) -> Iterator[str]:
    """What it exports."""
    address = f"127.0.0.1:{free_port()}"
    command, environment = [str(REDIS_EXPORTER), f"--web.listen-address={address}"], {"REDIS_ADDR": redis_url}
    with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _metrics(address) is not None, 20)
            yield _metrics(address) or ""
        finally:
            process.terminate()


def _metrics(address: str) -> str | None:
    with suppress(requests.RequestException):
        return requests.get(f"http://{address}/metrics", timeout=5).text
    return None


class TestExporters:
    def test_it_exports_the_series_that_the_page_names_of_a_broker_with_a_password(self, redis_url: str) -> None:
        named = set(re.findall(r"`(redis_\w+)`", (ROOT / "docs" / "reference" / "metrics.md").read_text()))
        with exporter(redis_url) as text:
            assert "\nredis_up 1\n" in text
            assert named <= set(re.findall(r"^(redis_\w+)", text, re.MULTILINE))
        assert "redis_up" in named

    def test_it_says_so_when_the_password_is_wrong(self, redis_url: str) -> None:
        with exporter(redis_url.replace("@", "x@")) as text:
            assert "\nredis_up 0\n" in text

    def test_compose_gives_both_exporters_the_broker_of_the_workers(self) -> None:
        services = compose()["services"]
        broker = "${MAMMO_REDIS_URL:-redis://:${REDIS_PASSWORD}@redis:6379/0}"
        assert services["redis-exporter"]["environment"] == {"REDIS_ADDR": broker}
        assert services["celery-exporter"]["environment"] == {"CE_BROKER_URL": broker}
        assert re.sub(r":\?set [^}]*", "", services["augment"]["environment"]["MAMMO_REDIS_URL"]) == broker

    def test_prometheus_looks_where_it_listens(self) -> None:
        told = subprocess.run([str(REDIS_EXPORTER), "--help"], capture_output=True, text=True, check=False)
        (port,) = set(re.findall(r'web\.listen-address.*?default "[\d.]*:(\d+)"', told.stdout + told.stderr, re.DOTALL))
        jobs = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
        (asked,) = [job["dns_sd_configs"] for job in jobs if job["job_name"] == "redis"]
        assert asked == [{"names": ["redis-exporter"], "type": "A", "port": int(port)}]
