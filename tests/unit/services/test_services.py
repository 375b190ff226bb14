"""Imports of a service set the environment of the libraries below it first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.external

ROOT = Path(__file__).resolve().parents[3]
_SILENCERS = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "TEAMCITY_VERSION", "JENKINS_URL", "BUILD_ID", "TRAVIS", "CIRCLECI")
"""With one of these set, ONNX Runtime writes nothing anyway."""


class TestServices:
    @pytest.mark.parametrize("module", ["shared.modelling.engines.onnx", "services.train.publishing.publish"])
    def test_onnx_runtime_writes_no_device_id(self, tmp_path: Path, module: str) -> None:
        """From 1.29 on its import writes a device id, to report its use with, unless it is switched off before."""
        unset = (*_SILENCERS, "ORT_DISABLE_TELEMETRY")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
        environment |= {"MAMMO_STORE": str(tmp_path / "store"), "MAMMO_REDIS_URL": "redis://127.0.0.1:1/0"}
        subprocess.run(
            (sys.executable, "-c", f"import {module}, onnxruntime; print(onnxruntime.__version__)"),
            env=environment,
            cwd=tmp_path,
            check=True,
            timeout=120,
        )
        written = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert [path for path in written if "onnxruntime" in str(path).lower() or path.name == "deviceid"] == []

    def test_openvino_writes_and_sends_nothing_of_its_own(self, tmp_path: Path) -> None:
        """Its wheel depends on a package that reports use; the converters import it, the runtime must not."""
        code = (
            "import sys; import shared.modelling.engines.openvino as o; o.openvino.Core().available_devices;"
            "print(bool(sys.modules.get('openvino_telemetry')))"
        )
        environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        told = subprocess.run(
            (sys.executable, "-c", code), env=environment, cwd=tmp_path, check=True, timeout=120, capture_output=True
        )
        assert told.stdout.split() == [b"False"]
        assert list(tmp_path.iterdir()) == []
