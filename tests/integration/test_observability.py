"""What Prometheus sees of a real run: every panel of the dashboards has data, every series is in the table of the docs,
and no log holds anything of a patient."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import requests
import yaml

from shared.api.batches import BatchRequest
from shared.cli.progress import follow
from shared.client import ApiError, InferenceClient
from shared.datasets.mias import Source
from shared.datasets.phantom import render
from shared.domain.records import Label
from shared.evaluations import flow
from shared.evaluations.plan import make_evaluation
from shared.local.broker import free_port
from shared.local.commands import ROOT, WORKERS
from shared.local.stack import Stack, running_stack, wait_for
from shared.modelling.drift import MIN_FILMS, TraitsOfFilm, distribution
from shared.modelling.profiles import profile
from shared.runs import pipeline
from shared.runs.plan import Plan, RunOptions, make_plan
from shared.store import models
from shared.store.ingest import ingest
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from tests.support.builders import queue_of
from tests.support.dicoms import dicom
from tests.support.policies import allows
from tests.support.recording_s3 import RecordingS3
from tests.support.series import exported
from tests.support.servers import wait_until

PROMETHEUS = shutil.which("prometheus")
JOBS = {"augment": "augment", "segment": "segment", "train": "train", "inference": "inference-worker"}
PLANTED = {
    "PatientName": "PLANTEDNAME^MARY",
    "PatientID": "PLANTEDID77",
    "PatientBirthDate": "19510203",
    "AccessionNumber": "PLANTEDACC9",
    "InstitutionName": "PLANTEDHOSPITAL",
    "ReferringPhysicianName": "PLANTEDDOCTOR^X",
}
ON_A_GPU = {"mammo_training_gpu_memory_bytes"}
OF_THE_GATEWAY = {name for name in exported() if name.startswith("mammo_gateway_")}
"""Of a process that is not among the watched; tests/integration/gateway asks it for them."""

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not on PATH: apt-get install prometheus")


class Watched:
    """A stack that a Prometheus of its own scrapes every second."""

    def __init__(self, folder: Path, url: str, s3: RecordingS3) -> None:
        self.logs, self.s3, self._url = folder / "logs", s3, url

    def ask(self, path: str, **query: str) -> Any:
        answer = requests.get(f"{self._url}/api/v1/{path}", params=query, timeout=10)
        assert answer.ok, answer.text
        return answer.json()["data"]

    def values(self, query: str) -> list[float]:
        """What a query answers now, without what is no number."""
        found = [float(one["value"][1]) for one in self.ask("query", query=query)["result"]]
        return [value for value in found if value == value]  # noqa: PLR0124  not NaN


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, synthetic_films: Path) -> Iterator[Watched]:
    """A finished run, predictions, a batch, a refusal and a damaged film; then a little time for some scrapes."""
    folder = tmp_path_factory.mktemp("watched")
    ports = {name: free_port() for name in WORKERS}
    with pytest.MonkeyPatch.context() as patch, RecordingS3() as s3:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "tests")
        boto3.client("s3", endpoint_url=s3.url, region_name="us-east-1").create_bucket(Bucket="watched")
        extra = {"MAMMO_S3_ENDPOINT_URL": s3.url, "AWS_ACCESS_KEY_ID": "inference"}
        of_worker = {name: {"MAMMO_METRICS_PORT": str(port), "AWS_ACCESS_KEY_ID": name} for name, port in ports.items()}
        with running_stack(folder, "s3://watched", extra=extra, of_worker=of_worker) as stack:
            targets = {JOBS[name]: f"127.0.0.1:{port}" for name, port in ports.items()}
            with _prometheus(folder, stack, {**targets, "inference": stack.url.removeprefix("http://")}, s3) as watched:
                _work(stack, synthetic_films)
                time.sleep(5)
                yield watched


@contextmanager
def _prometheus(folder: Path, stack: Stack, targets: dict[str, str], s3: RecordingS3) -> Iterator[Watched]:
    port = free_port()
    key = folder / "metrics-key"
    key.write_text(stack.key)
    jobs = [
        {
            "job_name": job,
            "static_configs": [{"targets": [target]}],
            **({"authorization": {"credentials_file": str(key)}} if job == "inference" else {}),
        }
        for job, target in targets.items()
    ]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    rules = [str(ROOT / "deploy" / "prometheus" / "alerts.yml")]
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": every, "rule_files": rules, "scrape_configs": jobs}))
    command = [str(PROMETHEUS), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    command.append(f"--web.listen-address=127.0.0.1:{port}")
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_until(lambda: _answers(f"http://127.0.0.1:{port}/-/ready"), 30)
            yield Watched(folder, f"http://127.0.0.1:{port}", s3)
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _work(stack: Stack, films: Path) -> None:
    store = open_store(stack.settings.store)
    client = InferenceClient(stack.url, stack.key)
    plan = _run(stack, store, films)
    wait_for("loading the model", client.ready, stack.processes)
    evaluation = flow.start(store, queue_of(stack), make_evaluation(store, "resnet50", plan.run, plan.dataset))
    wait_until(lambda: flow.read_external_evaluation(store, evaluation) is not None, 60)
    _promote_with_inputs(store, plan)
    wait_for("loading its successor", lambda: client.model().version == "watched", stack.processes)

    pixels = render(np.random.default_rng(3), "left", "G", Label.MALIGNANT).pixels
    film, blank = dicom(pixels, **PLANTED), dicom(np.zeros_like(pixels), **PLANTED)
    for number in range(MIN_FILMS + 1):
        client.predict(film, heatmap=number % 20 == 0)
    for refused in (blank, film[: len(film) // 2]):
        with pytest.raises(ApiError):
            client.predict(refused)
    for name, data in (("good.dcm", film), ("blank.dcm", blank), ("cut.dcm", film[: len(film) // 2])):
        store.put(f"inbox/{name}", data)
    batch = client.create_batch(BatchRequest(prefix="inbox/"))
    wait_until(lambda: client.batch(batch.id).state == "done", 60)
    client.predict(film, heatmap=True)


def _run(stack: Stack, store: ObjectStore, films: Path) -> Plan:
    dataset = ingest(store, Source(films), "films").dataset
    chosen = {"networks": ("resnet50",), "protocols": ("patient",), "promote": ("resnet50",)}
    plan = make_plan(dataset, profile("test"), RunOptions(weights={}, seed=7, **chosen))
    pipeline.start(store, queue_of(stack), plan)
    follow(store, plan, stack.processes.check)
    return plan


def _promote_with_inputs(store: ObjectStore, plan: Plan) -> None:
    """The run's model once more, as if it had seen enough films to tell how they are distributed."""
    card = models.read_card(store, "resnet50", plan.run)
    files = {name: models.read_file(store, card, name) for name in card.files}
    spread = np.linspace(0.1, 0.6, 200)
    inputs = distribution([TraitsOfFilm(brightness=float(value), breast_area=float(value)) for value in spread])
    models.publish(store, card.model_copy(update={"version": "watched", "inputs": inputs}), files)
    models.promote(store, "resnet50", "watched", models.MoveReason(by="tests", why="tests"), force=True)


def panels() -> list[tuple[str, str]]:
    boards = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
    found = [(board.stem, panel) for board in boards for panel in json.loads(board.read_text())["panels"]]
    return [
        (f"{board}: {panel['title']}", target["expr"]) for board, panel in found for target in panel.get("targets", ())
    ]


def documented() -> dict[str, set[str]]:
    """Series -> labels, as docs/reference/metrics.md has them."""
    rows = re.findall(
        r"^\| `(\w+)` \| ([\w, ]*)\|", (ROOT / "docs" / "reference" / "metrics.md").read_text(), re.MULTILINE
    )
    return {name: {label.strip() for label in labels.split(",") if label.strip()} for name, labels in rows}


def labelled(watched: Watched, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = watched.ask("series", **{"match[]": f'{{__name__=~"{name}(_bucket)?"}}'})
    return found


class TestObservability:
    def test_every_panel_has_data(self, watched: Watched) -> None:
        without = []
        for title, query in panels():
            asked = query.replace("$__rate_interval", "3m")
            if "gateway" not in query and not watched.values(asked):  # which is not among the watched
                without.append((title, asked))
        assert without == []

    def test_every_series_is_in_the_table_and_the_other_way_round(self, watched: Watched) -> None:
        told = [name for name in watched.ask("label/__name__/values") if re.match("mammo_|request_|celery_", name)]
        bare = {re.sub("_(bucket|sum|count)$", "", name) for name in told if not name.endswith("_created")}
        bare |= {"mammo_model_created_timestamp_seconds"}
        assert OF_THE_GATEWAY
        assert bare - OF_THE_GATEWAY == exported() - ON_A_GPU - OF_THE_GATEWAY
        table = documented()
        assert set(table) == exported()
        for name in sorted(bare - OF_THE_GATEWAY):
            (one, *_) = labelled(watched, name)
            assert set(one) - {"__name__", "job", "instance", "le"} == table[name], name

    def test_no_alert_of_a_system_that_is_well(self, watched: Watched) -> None:
        states = {
            alert["labels"]["alertname"] for alert in watched.ask("alerts")["alerts"] if alert["state"] == "firing"
        }
        assert states == {"Watchdog"}, "which fires for ever, so that its absence is noticed"

    def test_no_log_holds_anything_of_a_patient(self, watched: Watched) -> None:
        logs = sorted(watched.logs.iterdir())
        text = "".join(log.read_text() for log in logs)
        assert len(logs) == 6
        assert '"route": "/v1/predictions"' in text
        assert '"task": "' in text
        for planted in PLANTED.values():
            for word in planted.split("^"):
                assert len(word) < 4 or word not in text, planted

    def test_what_each_service_asks_of_the_store_is_what_its_policy_allows(self, watched: Watched) -> None:
        asked = {request for request in watched.s3.asked if request[0] in WORKERS}
        assert {who for who, *_ in asked} == set(WORKERS)
        refused = sorted(request for request in asked if not allows(*request))
        assert not refused, "\n".join(map(str, refused))
