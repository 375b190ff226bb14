"""Structured reports: their content trees are held by golden files, and say no more than the model may."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from services.gateway.eligibility import Refusal
from services.gateway.films import read_header
from services.gateway.objects import cad_sr, measurement_report
from services.gateway.objects.build import build_objects
from services.gateway.objects.wording import RESEARCH
from services.gateway.report import KINDS, Predecessor, Report
from tests.support.gateway import changed, finding, four_films, problem, report, tree

pytestmark = pytest.mark.slow

Build = Callable[[Report], Dataset]
GOLDEN = Path(__file__).parent / "golden"
_IMPLANT = Refusal("implant", "an implant is present")


def reports() -> dict[str, Report]:
    films = four_films()
    odd = finding(read_header(films[0]), "abnormal", applies=False, reasons=["No training film was digital."])
    return {
        "abnormal": report(films),
        "normal": report(films, ("normal",) * 4),
        "refused": report(films, ("abnormal", problem(), _IMPLANT, "uncertain")),
        "nothing": report(films, (problem(), problem(), problem(), _IMPLANT)),
        "inapplicable": report(films, (odd, "normal", "normal", "normal")),
        "three": report(films[:3], ("abnormal", "normal", "normal")),
    }


class TestReports:
    @pytest.mark.parametrize("name", reports())
    @pytest.mark.parametrize(("kind", "build"), [("cad-sr", cad_sr.build), ("tid1500", measurement_report.build)])
    def test_content_tree_is_that_of_its_golden_file(self, name: str, kind: str, build: Build) -> None:
        found = json.dumps(tree(build(reports()[name])), indent=1)
        golden = GOLDEN / f"{kind}-{name}.json"
        if not golden.exists():
            golden.write_text(f"{found}\n")
            pytest.fail(f"{golden.name} was missing and is written; look at it and commit it")
        assert found == golden.read_text().rstrip("\n")

    def test_refused_film_stands_in_the_report_with_its_reason(self) -> None:
        text = json.dumps(tree(cad_sr.build(reports()["refused"])))
        assert "Not all algorithms succeeded; with findings" in text
        assert "Failed Detections" in text
        assert "R MLO: not analysed: an implant is present" in text
        assert "L CC: not analysed: the image shows no breast" in text

    def test_film_outside_the_applicability_gives_no_result_for_its_breast_and_exam(self) -> None:
        found = reports()["inapplicable"]
        text = json.dumps(tree(cad_sr.build(found)))
        assert "outside the model's applicability, no result: No training film was digital." in text
        assert found.breast("R") is None
        assert found.exam is None
        assert found.breast("L") is not None
        assert "Certainty of impression" not in text
        assert "Selected region Description" not in text
        assert "P(malignant) 70.0%" not in text

    def test_normal_films_have_no_marks(self) -> None:
        text = json.dumps(tree(cad_sr.build(reports()["normal"])))
        assert "Selected Region Description" not in text
        assert "All algorithms succeeded; without findings" in text

    def test_incomplete_exam_says_what_is_missing(self) -> None:
        assert "Incomplete exam, without L MLO" in json.dumps(tree(cad_sr.build(reports()["three"])))

    @pytest.mark.parametrize("build", [cad_sr.build, measurement_report.build])
    def test_report_names_its_predecessor_and_all_films_as_evidence(self, build: Build) -> None:
        earlier = Predecessor("1.2.840.10008.5.1.4.1.1.88.50", "1.2.3.4", "1.2.3", instance_number=4)
        found = build(report(predecessors={"cad-sr": earlier, "tid1500": earlier}))
        document = found.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
        assert document.SeriesInstanceUID == "1.2.3"
        assert document.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
        assert found.InstanceNumber == 5
        assert _evidence(found) == {read_header(film).sop_uid for film in four_films()}

    @pytest.mark.parametrize("build", [cad_sr.build, measurement_report.build])
    def test_report_is_for_research_belongs_to_the_study_and_hangs_last(self, build: Build) -> None:
        found = build(report(first_series=27556))
        film = read_header(four_films()[0])
        assert "research only" in found.SeriesDescription
        assert found.VerificationFlag == "UNVERIFIED"
        assert (found.PatientName, found.PatientID) == (film.text("PatientName"), film.text("PatientID"))
        assert (found.StudyInstanceUID, found.StudyDate) == (film.study_uid, film.text("StudyDate"))
        assert found.SeriesNumber >= 27556

    def test_cad_report_carries_the_notice(self) -> None:
        text = json.dumps(tree(cad_sr.build(report())))
        assert RESEARCH in text
        assert "Trained on synthetic films." in text

    def test_name_in_another_character_set_is_kept(self) -> None:
        films = [changed(film, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Ä") for film in four_films()]
        found = cad_sr.build(report(films))
        assert (str(found.PatientName), found.SpecificCharacterSet) == ("Müller^Ä", "ISO_IR 192")

    def test_no_warning_quotes_the_name(
        self, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        films = [changed(film, PatientName="SECRETNAME", PatientAge="odd") for film in four_films()]
        data = {read_header(film).sop_uid: film for film in films}
        with caplog.at_level("DEBUG"):
            assert list(build_objects(report(films), KINDS, data.__getitem__))
        assert "SECRETNAME" not in caplog.text + "".join(str(each.message) for each in recwarn)

    def test_film_without_side_is_named_in_words(self) -> None:
        films = four_films()
        films[0] = changed(films[0], ImageLaterality=None)
        text = json.dumps(tree(cad_sr.build(report(films, (_IMPLANT, "normal", "normal", "normal")))))
        assert "unknown side CC: not analysed: an implant is present" in text


def _evidence(found: Dataset) -> set[str]:
    return {
        str(film.ReferencedSOPInstanceUID)
        for study in found.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for film in series.ReferencedSOPSequence
    }
