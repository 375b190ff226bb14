"""Keep the latest table of each benchmark in `benchmarks/RESULTS.md`: a section each, with machine, commit and date.

`python -m tests.bench.results COMMAND MODULE [ARGUMENT...]` runs a benchmark and keeps what it prints under COMMAND.
"""

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

from shared.local.commands import ROOT

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
FALLS_SHORT = 3
"""Status of a benchmark that has measured all, and less than is wanted."""

_HEAD = """# Benchmark results

The latest table of each benchmark, under the command that prints it; older ones are in git.
"""


def record(command: str, printed: str, results: Path = RESULTS) -> None:
    """Replace the section of a command by what it printed, or add one.

    Args:
        command: such as `make bench-imaging ONLY=films`; the section's heading.
    """
    text = results.read_text(encoding="utf-8") if results.exists() else _HEAD
    section = f"## `{command}`\n\n{_where()}\n\n```\n{printed.strip()}\n```\n"
    old = re.compile(rf"^## `{re.escape(command)}`\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    text = old.sub(lambda _: section + "\n", text) if old.search(text) else f"{text.rstrip()}\n\n{section}"
    results.parent.mkdir(exist_ok=True)
    results.write_text(text.rstrip() + "\n", encoding="utf-8")


def _where() -> str:
    """Describe machine, commit and date in a line."""
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    today = time.strftime("%Y-%m-%d")
    return f"{os.cpu_count()} cores of {_processor()}, commit {told.stdout.strip()}, {today}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", information.read_text()) if information.exists() else []
    return names[0].strip() if names else platform.machine()


def shown(command: list[str]) -> str:
    """Run a benchmark, show what it prints while it does, and return it; ends this process if it fails."""
    printed = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            printed.append(line)
    if process.returncode not in (0, FALLS_SHORT):
        raise SystemExit(process.returncode)
    return "".join(printed)


if __name__ == "__main__":
    record(sys.argv[1], shown([sys.executable, "-m", f"tests.bench.{sys.argv[2]}", *sys.argv[3:]]))
