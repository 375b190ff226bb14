"""Results in OHIF's viewer, from npm, on Orthanc: the films hang first, and the pictures of results can be opened."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from shared.local.commands import ROOT
from tests.support.page.browsing import CHROMIUM

VERSION = "3.13.2"
_ALONE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the viewer."""
    folder = tmp_path_factory.mktemp("ohif")
    if not shutil.which("npm"):
        pytest.skip("npm is not on PATH, which fetches the viewer")
    command = ["npm", "pack", f"@ohif/app@{VERSION}", "--silent"]
    packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    if packed.returncode:
        pytest.skip("npm can't fetch @ohif/app; there is no registry")
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "dist"


@pytest.fixture(scope="module")
def seen(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the viewer showed of an exam with its results; screenshots are in MAMMO_TEST_SCREENSHOTS, if that is set."""
    for program in ("Orthanc", "unshare", "ip"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not on PATH (Debian: orthanc, orthanc-dicomweb, util-linux, iproute2)")
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH (apt-get install chromium)")
    if subprocess.run([*_ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a network namespace can't be made here; Orthanc would listen on all addresses")
    folder = os.environ.get("MAMMO_TEST_SCREENSHOTS") or str(tmp_path_factory.mktemp("screenshots"))
    command = [*_ALONE, sys.executable, "-m", "tests.support.ohif_session", str(dist), folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class TestOhif:
    def test_films_hang_first_in_their_order_and_results_follow(self, seen: dict[str, Any]) -> None:
        modalities = [listed.split("\n")[0] for listed in seen["listed"]]
        assert modalities == ["MG"] * 4 + ["OT", "SR", "SR"]
        assert seen["first"]["position"] == "1/1"
        assert seen["first"]["grey"] > 10_000
        assert seen["first"]["green"] == 0

    def test_pictures_of_results_open_with_the_outline_of_the_breast(self, seen: dict[str, Any]) -> None:
        assert seen["opened"]["position"] == "1/4"
        assert seen["opened"]["grey"] > 10_000
        assert seen["opened"]["green"] > 200
