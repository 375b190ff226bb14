"""The demo as a newcomer starts it, and what it leaves behind: nothing, whatever way it ends."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (str(ROOT / "mammo"), "demo", "--profile", "test", "--patients", "8")


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "--folder", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder.parent,
    )


def read_until(demo: "subprocess.Popen[str]", pattern: str) -> str:
    """The output up to a line with `pattern`; pytest's time-out bounds the wait."""
    seen = ""
    assert demo.stdout
    for line in demo.stdout:
        seen += line
        if re.search(pattern, line):
            return seen
    raise AssertionError(f"the demo ended without '{pattern}':\n{seen}")


def service_processes(folder: Path) -> list[psutil.Process]:
    notes = json.loads((folder / "processes.json").read_text())["processes"]
    assert [note["name"] for note in notes] == [
        "broker",
        "augment",
        "segment",
        "train",
        "inference-worker",
        "inference",
    ]
    return [psutil.Process(note["pid"]) for note in notes]


def all_gone(processes: list[psutil.Process], seconds: float = 25) -> bool:
    _, left = psutil.wait_procs(processes, timeout=seconds)
    return not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "demo"
    yield folder
    from shared.local.processes import end_noted

    end_noted(folder)


def check_output(output: str) -> None:
    """The words that a newcomer is promised: what the films are, all networks with intervals, prediction, report."""
    assert "SYNTHETIC" in output
    assert "FROM SCRATCH" in output or "layers from torchvision" in output
    for network in ("modified_cnn", "alexnet", "resnet50"):
        assert re.search(rf"{network} +patient +[\d.]+ \[\d+, \d+\]", output), output
        assert re.search(rf"{network} +paper \(leaky\) +[\d.]+ \[\d+, \d+\]", output), output
    truth = r"synthetic exam of patient p\d+, unseen in training, in truth: right breast \w+, left breast \w+"
    assert re.search(truth, output), output
    for name in (
        r"e\d+_[LR]_CC",
        r"e\d+_[LR]_MLO",
        r"breast L, of \d films",
        r"breast R, of \d films",
        r"exam, as breast [LR]",
    ):
        assert re.search(rf"^{name}: (normal|benign|malignant) \(normal [\d.]+%", output, re.M), (name, output)
    report = re.search(r"Report with figures: (\S+)", output)
    assert report
    page = Path(report[1]).read_text()
    assert "<html" in page
    assert "SYNTHETIC" in page


def check_service(output: str, film: Path) -> None:
    url = re.search(r"Serving on (http://\S+)", output)
    assert url
    key = {"Authorization": "Bearer " + output.partition("MAMMO_API_KEY=")[2].split()[0]}
    answer = requests.post(f"{url[1]}/v1/predictions", data=film.read_bytes(), headers=key, timeout=30).json()
    assert answer["class"] in answer["probabilities"]
    metrics = requests.get(f"{url[1]}/metrics", headers=key, timeout=30).text
    counted = [float(count) for count in re.findall(r"mammo_predictions_total\{.*\} ([\d.]+)", metrics)]
    assert sum(counted) >= 3, metrics  # the films of the demo's exam, and this one


class TestDemo:
    def test_after_kill_9_nothing_runs_and_the_next_demo_does_the_whole_job_and_serves(self, folder: Path) -> None:
        killed = start(folder)
        read_until(killed, "are up")
        processes = service_processes(folder)
        killed.kill()
        killed.wait()
        assert all_gone(processes)

        demo = start(folder)
        output = read_until(demo, "--data-binary")
        processes = service_processes(folder)
        check_output(output)
        check_service(output, next((folder / "store" / "raw" / "synthetic").glob("*/films/*")))
        demo.send_signal(signal.SIGINT)
        assert demo.wait(40) == 0
        assert demo.stdout
        assert "nothing is left running" in demo.stdout.read()
        assert all_gone(processes, 1)
        assert not (folder / "processes.json").exists()

    def test_a_demo_that_is_interrupted_in_the_middle_leaves_nothing(self, folder: Path) -> None:
        demo = start(folder, "--once")
        read_until(demo, "are up")
        processes = service_processes(folder)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(40) == 130
        assert all_gone(processes, 1)

    def test_a_second_demo_in_the_same_folder_is_told_so(self, folder: Path) -> None:
        first = start(folder)
        read_until(first, "are up")
        second = start(folder)
        assert second.wait(60) == 1
        assert second.stdout
        assert "another demo is running" in second.stdout.read()
        first.send_signal(signal.SIGTERM)
        assert first.wait(40) == 130

    def test_a_folder_that_is_not_a_demos_is_not_emptied(self, folder: Path) -> None:
        (folder / "store").mkdir(parents=True)
        (folder / "store" / "films").write_text("mine")
        demo = start(folder)
        assert demo.wait(60) == 1
        assert demo.stdout
        assert "was not created by a demo" in demo.stdout.read()
        assert (folder / "store" / "films").read_text() == "mine"

    def test_missing_films_are_one_clear_line(self, folder: Path) -> None:
        began = time.monotonic()
        demo = start(folder, "--mias", str(folder / "nowhere"))
        assert demo.wait(60) == 1
        assert demo.stdout
        last = demo.stdout.read().strip().splitlines()[-1]
        assert last.startswith("mammo: ")
        assert "there is no such folder or archive; check the path" in last
        assert time.monotonic() - began < 30
