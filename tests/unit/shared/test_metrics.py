"""Series over several processes: sums, nothing of a killed process in hand, and no file that could end the scrapes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.local.commands import ROOT

WORKING = """
import time
from shared import metrics
metrics.FILMS.labels("augment").inc(3)
metrics.UNITS_IN_HAND.labels("augment").inc()
print("at work", flush=True)
time.sleep(60)
"""
SCRAPE = "from shared import metrics; print(metrics.exposition().decode())"
SCRAPE_TWICE = """
import os, shutil, sys
from shared import metrics
metrics.FILMS.labels("segment").inc(5)
metrics.exposition()
for name in os.listdir(folder := os.environ["PROMETHEUS_MULTIPROC_DIR"]):
    if name.startswith(sys.argv[1]):
        os.unlink(os.path.join(folder, name))
if not os.listdir(folder):
    os.rmdir(folder)
metrics.FILMS.labels("segment").inc(2)
print(metrics.exposition().decode())
metrics.PREDICT_SECONDS.labels("a", "b").observe(1)
print(metrics.exposition().decode())
"""


@pytest.fixture
def printed(tmp_path: Path) -> Callable[..., str]:
    """What a process prints that counts into `tmp_path`."""

    def run(code: str, *arguments: str) -> str:
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "counts"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    (tmp_path / "counts").mkdir()
    return run


class TestMetrics:
    @pytest.mark.external
    def test_a_killed_process_leaves_its_counts_and_has_nothing_in_hand(self, tmp_path: Path) -> None:
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}

        def scrape() -> str:
            asked = [sys.executable, "-c", SCRAPE]
            return subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout

        with subprocess.Popen([sys.executable, "-c", WORKING], env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"at work\n"
            before = scrape()
            process.send_signal(signal.SIGKILL)
        after = scrape()
        assert 'mammo_units_in_hand{stage="augment"} 1.0' in before
        assert 'mammo_units_in_hand{stage="augment"}' not in after
        assert 'mammo_films_total{stage="augment"} 3.0' in after

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\1\0",
            b"\x40\0\0\0\0\0\0\0\xff\x7f\0\0" + bytes(52),
            b"\x40\0\0\0\0\0\0\0\4\0\0\0\xff\xfe{]" + bytes(48),
        ],
        ids=["empty", "cut in its first number", "with a value that is too long", "no JSON"],
    )
    @pytest.mark.external
    def test_a_file_that_is_no_counts_is_left_out_and_counted(
        self, printed: Callable[..., str], tmp_path: Path, content: bytes
    ) -> None:
        printed("from shared import metrics; metrics.FILMS.labels('augment').inc(3)")
        (tmp_path / "counts" / "counter_1.db").write_bytes(content)
        scraped = printed(SCRAPE)
        assert 'mammo_films_total{stage="augment"} 3.0' in scraped
        assert "mammo_metrics_files_unread 1.0" in scraped

    @pytest.mark.parametrize(("deleted", "lost"), [("", 3), ("counter", 1)])
    @pytest.mark.external
    def test_a_process_whose_files_were_deleted_goes_on_telling_its_counts(
        self, printed: Callable[..., str], deleted: str, lost: int
    ) -> None:
        scraped = printed(SCRAPE_TWICE, deleted)
        assert scraped.count('mammo_films_total{stage="segment"} 7.0') == 2
        assert 'request_predict_seconds_count{model_name="a",model_version="b"} 1.0' in scraped
        assert scraped.count(f"mammo_metrics_files_unread {lost}.0") == 2
        assert "_created{" not in scraped
        assert "_created " not in scraped

    @pytest.mark.external
    def test_nothing_is_unread_where_all_files_are_whole(self, printed: Callable[..., str]) -> None:
        assert "mammo_metrics_files_unread 0.0" in printed(SCRAPE)
