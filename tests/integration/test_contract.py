"""The running service keeps to its own OpenAPI document, asked by a generator of requests that others wrote."""

import os
import subprocess
import sys
from pathlib import Path

from shared.local.commands import ROOT
from tests.support.published import KEY
from tests.support.serving import Served

CONTRACT = Path(__file__).parent / "contract"


class TestContract:
    def test_schemathesis_finds_nothing(self, served: Served, tmp_path: Path) -> None:
        """Examples, bounds, invented and broken requests, and sequences of them; a document's every operation."""
        asked = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("st")), "--config-file", str(CONTRACT / "schemathesis.toml")),
                *("run", f"{served.url}/openapi.json", "--header", f"Authorization: Bearer {KEY}"),
                *(
                    "--phases",
                    "examples,coverage,fuzzing,stateful",
                    "--max-examples",
                    "8",
                    "--generation-deterministic",
                ),
                *("--request-timeout", "30", "--continue-on-failure", "--no-color"),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.integration.contract.hooks"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == 0, asked.stdout[-12000:] + asked.stderr[-2000:]
        assert "Tested: " in asked.stdout
        assert "Traceback" not in served.log.read_text()
