"""The gateway's transport with Orthanc and DCMTK: every way in and out, once."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from shared.local.commands import ROOT

_ALONE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """What happened in a session with Orthanc in a network of its own."""
    for program in ("Orthanc", "storescu", "unshare", "ip"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not on PATH (Debian: orthanc, orthanc-dicomweb, dcmtk, util-linux, iproute2)")
    if subprocess.run([*_ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a network namespace can't be made here; Orthanc would listen on all addresses")
    command = [*_ALONE, sys.executable, "-m", "tests.support.orthanc_session"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class TestOrthanc:
    def test_films_of_dcmtk_are_listed_with_side_and_view_and_read_unchanged(self, facts: dict[str, Any]) -> None:
        assert facts["storescu to Orthanc"] == 0
        assert facts["views"] == ["LCC", "RCC", "RMLO"]
        assert facts["bytes kept"]

    def test_exam_gets_its_results_once_and_new_reports_for_a_late_film(self, facts: dict[str, Any]) -> None:
        three = {"cad-sr": 1, "tid1500": 1, "gsps": 1, "sc": 3, "seg": 3}
        assert facts["three films"] == ["stored", "there already", three]
        four = {"cad-sr": 2, "tid1500": 2, "gsps": 2, "sc": 4, "seg": 4}
        assert facts["late film"] == ["stored", "there already", four]
        assert facts["the same by C-FIND"] == four

    def test_results_hang_behind_the_films(self, facts: dict[str, Any]) -> None:
        assert facts["series"] == [1, 9001, 9002, 9003, 9004, 9005]

    def test_study_with_results_is_taken_whole_and_its_films_alone_are_kept(self, facts: dict[str, Any]) -> None:
        assert facts["Orthanc pushes films and results"] == [200, 4]

    def test_exam_of_dcmtk_gets_its_results_by_c_store(self, facts: dict[str, Any]) -> None:
        assert facts["storescu to the gateway"] == 0
        outcome, kinds, again, left = facts["pushed and stored by C-STORE"]
        assert (outcome, kinds) == ("stored", {"cad-sr": 1, "tid1500": 1, "sc": 4})
        assert (again, left) == ("there already", [])
