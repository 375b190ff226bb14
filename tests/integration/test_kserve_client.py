"""KServe's own client is at home with both protocols. It has an environment of its own, which `make test` sets up."""

import json
import subprocess
from pathlib import Path

import pytest

from shared.local.commands import ROOT
from tests.support.published import KEY, NETWORK
from tests.support.serving import Served

PYTHON = ROOT / ".venv-kserve" / "bin" / "python"


class TestKserveClient:
    @pytest.mark.skipif(not PYTHON.exists(), reason="kserve has an environment of its own: make .venv-kserve/ready")
    def test_the_client_of_kserve_is_at_home(self, served: Served, films: list[bytes], tmp_path: Path) -> None:
        film = tmp_path / "film.png"
        film.write_bytes(films[0])
        ask = ROOT / "tests" / "integration" / "kserve" / "ask.py"
        asked = subprocess.run(
            [str(PYTHON), str(ask), served.url, NETWORK, KEY, str(film)], capture_output=True, text=True, check=False
        )
        assert asked.returncode == 0, asked.stderr
        told = json.loads(asked.stdout.splitlines()[-1])
        native = served.client.predict(films[0])
        assert all(told[name] for name in ("live", "ready", "model_ready_v1", "model_ready_v2"))
        (prediction,) = told["predictions"]["predictions"]
        assert prediction["class"] == native.label
        assert prediction["probabilities"] == pytest.approx(dict(native.probabilities), abs=1e-5)
        assert told["explanations"]["explanations"][0]["heatmap"]["b64"]
        assert told["outputs"]["probabilities"] == pytest.approx(list(dict(native.probabilities).values()), abs=1e-5)
        assert "nobody is not served" in told["refused"], "its client shows the reason"
