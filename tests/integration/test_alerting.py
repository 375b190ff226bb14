"""An alert that fires in a real Prometheus arrives at a receiver by way of a real Alertmanager, with our files."""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import requests
import yaml
from prometheus_client import CollectorRegistry, Counter, start_http_server

from shared.local.broker import free_port
from shared.local.commands import ROOT
from tests.support.servers import wait_until

RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
SHIPPED = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
ROUTES = ROOT / "deploy" / "prometheus" / "alertmanager.yml"
PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")

pytestmark = [
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not on PATH: apt-get install prometheus"),
    pytest.mark.skipif(ALERTMANAGER is None, reason="no Alertmanager: apt-get install prometheus-alertmanager"),
]


@contextmanager
def receiver() -> Iterator[tuple[str, "SimpleQueue[Any]"]]:
    """An address that takes what Alertmanager posts to a webhook."""
    came: SimpleQueue[Any] = SimpleQueue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", came
        server.shutdown()


@contextmanager
def running(folder: Path, binary: str | None, *arguments: str) -> Iterator[str]:
    """A server of the Prometheus family, once it is ready."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(binary), *arguments, f"--web.listen-address={address}"]
    with (folder / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_until(lambda: _ready(f"http://{address}/-/ready"), 30)
            yield address
        finally:
            process.terminate()


def _ready(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(url, timeout=2).ok
    return False


@pytest.fixture
def alerted(tmp_path: Path) -> Iterator[tuple[Callable[[], None], "SimpleQueue[Any]"]]:
    """What sets a film aside, and what arrives at the receiver."""
    registry = CollectorRegistry()
    aside = Counter("mammo_films_set_aside", "As a worker's.", ["stage"], registry=registry).labels("segment")
    worker, _ = start_http_server(0, "127.0.0.1", registry)
    with ExitStack() as stack:
        stack.callback(worker.server_close)
        stack.callback(worker.shutdown)
        url, came = stack.enter_context(receiver())
        routes = yaml.safe_load(ROUTES.read_text())
        (operators,) = routes["receivers"]
        operators["webhook_configs"] = [{"url": url}]
        routes["route"]["group_wait"] = "1s"
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(routes))
        of_manager = (f"--config.file={tmp_path / 'alertmanager.yml'}", f"--storage.path={tmp_path / 'alertmanager'}")
        manager = stack.enter_context(running(tmp_path, ALERTMANAGER, *of_manager, "--cluster.listen-address="))
        config = {
            "global": {
                "scrape_interval": "1s",
                "evaluation_interval": "1s",
                "external_labels": {"runbooks": "https://git.example.org/runbooks"},
            },
            "rule_files": [str(RULES)],
            "alerting": {**SHIPPED["alerting"], "alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
            "scrape_configs": [
                {"job_name": "segment", "static_configs": [{"targets": [f"127.0.0.1:{worker.server_port}"]}]}
            ],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        of_prometheus = (f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}")
        prometheus = stack.enter_context(running(tmp_path, PROMETHEUS, *of_prometheus))
        wait_until(lambda: _seen(prometheus), 30)
        yield aside.inc, came


def _seen(prometheus: str) -> bool:
    """It has the counter at 0, so that what is added is an increase."""
    query = {"query": "count_over_time(mammo_films_set_aside_total[1m]) > 1"}
    return bool(requests.get(f"http://{prometheus}/api/v1/query", params=query, timeout=5).json()["data"]["result"])


class TestAlerting:
    def test_an_alert_arrives_with_its_severity_its_summary_and_its_runbook(
        self,
        alerted: tuple[Callable[[], None], "SimpleQueue[Any]"],
    ) -> None:
        set_aside, came = alerted
        assert came.empty()
        set_aside()
        told = came.get(timeout=60)
        (alert,) = told["alerts"]
        assert (told["status"], told["receiver"]) == ("firing", "operators")
        assert alert["labels"] == {"alertname": "FilmsFailed", "severity": "ticket", "stage": "segment"}
        assert alert["annotations"] == {
            "summary": "segment: films were set aside, or units given up, in the last hour",
            "runbook_url": "https://git.example.org/runbooks/films-failed.md",
        }
