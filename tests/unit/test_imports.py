"""Modules only define: settings are read, and connections made, at an entry point and not when a module is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.local.commands import ROOT

pytestmark = [pytest.mark.external, pytest.mark.slow]

IMPORT_ALL = """
import logging, os, pkgutil, signal, sys
from importlib import import_module

begun = []
outside = ("socket.connect", "os.exec", "os.fork", "os.posix_spawn")
sys.addaudithook(lambda event, _arguments: begun.append(event) if event in outside else None)
import services  # which sets what libraries must know before they are imported
handlers = logging.getLogger().handlers[:]
interrupt = signal.getsignal(signal.SIGINT)
count = 0
for root in (services, import_module("shared")):
    for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
        import_module(module.name)
        count += 1
ours = {name for name in os.environ if name.startswith(("MAMMO_", "PROMETHEUS_"))}
assert not begun, begun
assert not ours, ours
assert logging.getLogger().handlers == handlers
assert signal.getsignal(signal.SIGINT) is interrupt
print(count)
"""


class TestImports:
    def test_every_module_can_be_imported_without_settings_and_touches_nothing(self, tmp_path: Path) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("MAMMO_", "PROMETHEUS_"))
        }
        imported = subprocess.run(
            [sys.executable, "-c", IMPORT_ALL],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(ROOT)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        modules = [*(ROOT / "services").rglob("*.py"), *(ROOT / "shared").rglob("*.py")]
        files = [file for file in modules if file.name not in ("gunicorn.conf.py", "__init__.py")]
        packages = [file for file in modules if file.name == "__init__.py"]
        assert int(imported.stdout) == len(files) + len(packages) - 2
        assert list(tmp_path.iterdir()) == []
