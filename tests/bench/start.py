"""How long `mammo --help` takes next to another commit's, in turns: `make bench-start`; BASE=COMMIT.

Both sides run in this environment with `python -m shared.cli`, so that only the code differs. Medians of wall and CPU
time are printed; on a machine with other work the CPU time says more.
"""

import argparse
import io
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from shared.local.commands import ROOT

BASE = "7d3aabf"
"""The commit before commands were imported lazily."""


def main() -> None:
    """Print the medians of both sides and their ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--base", default=BASE)
    options.add_argument("--rounds", type=int, default=15)
    chosen = options.parse_args()
    archive = subprocess.run(["git", "archive", chosen.base, "shared"], cwd=ROOT, check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
            tree.extractall(folder, filter="data")
        sides = {chosen.base: Path(folder), "this tree": ROOT}
        cache = Path(folder, "pycache")
        for tree_of_side in sides.values():  # compiles what the other rounds read
            once(tree_of_side, cache)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for _ in range(chosen.rounds):
            for name, tree_of_side in sides.items():
                times[name].append(once(tree_of_side, cache))
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    for name, (wall, processor) in medians.items():
        print(f"mammo --help, {name:<12} {wall:.3f} s, of the CPU {processor:.3f} s (medians of {chosen.rounds})")
    (wall, processor), (base_wall, base_processor) = medians["this tree"], medians[chosen.base]
    print(f"ratio: {wall / base_wall:.2f}, of the CPU {processor / base_processor:.2f}")


def once(tree: Path, cache: Path) -> tuple[float, float]:
    """Return the seconds of wall and CPU time that the list of commands takes."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "shared.cli", "--help"],
        cwd=tree,
        env={**environment, "PYTHONPATH": str(tree), "PYTHONPYCACHEPREFIX": str(cache)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, processor


if __name__ == "__main__":
    main()
