"""What judges Dockerfiles, manifests and dashboards, in an environment of its own."""

import json
import subprocess
from pathlib import Path

import pytest

from shared.local.commands import ROOT

TOOLS = ROOT / ".venv-deploy" / "bin"

with_tools = pytest.mark.skipif(
    not TOOLS.exists(), reason="the tools have their own environment: make .venv-deploy/ready"
)


def complaints(*files: Path) -> list[str]:
    script = Path(__file__).parents[1] / "deploy" / "tools" / "validate.py"
    told = subprocess.run(
        [str(TOOLS / "python"), str(script), *map(str, files)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    return list(json.loads(told.stdout))
