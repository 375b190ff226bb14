"""Series over several processes: sums, and nothing of a process that was killed counts as being in hand."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from shared.embedded.commands import ROOT

WORKING = """
import time
from shared import metrics
metrics.FILMS.labels("augment").inc(3)
metrics.UNITS_IN_HAND.labels("augment").inc()
print("at work", flush=True)
time.sleep(60)
"""
SCRAPE = "from shared import metrics; print(metrics.exposition().decode())"


def test_a_killed_process_leaves_its_counts_and_has_nothing_in_hand(tmp_path: Path) -> None:
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
