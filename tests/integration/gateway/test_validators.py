"""Result objects before three judges: dciodvfy of dicom3tools, DCMTK's dsrdump and PixelMed's DicomSRValidator.

Each finds faults that the others pass over.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.gateway.eligibility import Refusal
from services.gateway.films import read_header
from services.gateway.objects.build import ResultObject, build_objects
from services.gateway.report import KINDS, Predecessor, Report
from tests.support.gateway import finding, four_films, problem, report

_WITHOUT_LIMITS = "-Xss64m " + " ".join(
    f"-Djdk.xml.{limit}=0" for limit in ("xpathTotalOpLimit", "xpathExprOpLimit", "xpathExprGrpLimit")
)
"""Options of Java: by default it refuses PixelMed's style sheets as too large."""

FILMS = four_films()
_EARLIER = Predecessor("1.2.840.10008.5.1.4.1.1.88.50", "1.2.3.4", "1.2.3")


def _reports() -> dict[str, Report]:
    odd = finding(read_header(FILMS[0]), "abnormal", applies=False, reasons=["No training film was digital."])
    refused = Refusal("implant", "an implant is present")
    return {
        "abnormal": report(FILMS, predecessors={"cad-sr": _EARLIER, "tid1500": _EARLIER}),
        "normal": report(FILMS, ("normal",) * 4),
        "refused": report(FILMS, ("abnormal", problem(), refused, "uncertain")),
        "nothing": report(FILMS, (problem(), problem(), problem(), refused)),
        "inapplicable": report(FILMS, (odd, "normal", "normal", "normal")),
        "three": report(FILMS[:3], ("abnormal", "normal", "normal")),
    }


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, ResultObject]:
    """Every object of every kind of the reports, as files."""
    folder, found = tmp_path_factory.mktemp("objects"), {}
    data = {read_header(film).sop_uid: film for film in FILMS}
    for name, each in _reports().items():
        for number, made in enumerate(build_objects(each, KINDS, data.__getitem__)):
            path = folder / f"{name}-{made.kind}-{number}.dcm"
            path.write_bytes(made.data)
            found[path] = made
    return found


def _reports_among(objects: dict[Path, ResultObject]) -> list[Path]:
    return [path for path, made in objects.items() if made.kind in ("cad-sr", "tid1500")]


def _said(command: Sequence[str], **variables: str) -> list[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **variables}, check=False, timeout=120
    )
    return (done.stdout + done.stderr).splitlines()


class TestValidators:
    def test_dciodvfy_finds_no_error(self, objects: dict[Path, ResultObject]) -> None:
        judge = Path(sys.executable).with_name("dciodvfy")
        for path in objects:
            assert not [line for line in _said([str(judge), str(path)]) if line.startswith("Error")], path.name

    def test_dsrdump_reads_every_report(self, objects: dict[Path, ResultObject]) -> None:
        if not shutil.which("dsrdump"):
            pytest.skip("dsrdump of DCMTK is not on PATH")
        for path in _reports_among(objects):
            said = _said(["dsrdump", str(path)])
            assert not [line for line in said if line.startswith(("E:", "F:"))], path.name
            assert any("CONTAINER" in line or "Report" in line for line in said), path.name

    def test_pixelmed_finds_no_error_in_reports(self, objects: dict[Path, ResultObject]) -> None:
        if not shutil.which("DicomSRValidator"):
            pytest.skip("DicomSRValidator of pixelmed-apps is not on PATH")
        if not shutil.which("java"):
            pytest.skip("DicomSRValidator needs Java, which is not on PATH")
        chosen = [path for path in _reports_among(objects) if path.name.startswith(("abnormal", "refused"))]
        for path in chosen:
            said = _said(["DicomSRValidator", str(path)], JAVA_TOOL_OPTIONS=_WITHOUT_LIMITS)
            assert "Root Template Validation Complete" in said, said
            assert not [line for line in said if line.startswith("Error")], path.name
