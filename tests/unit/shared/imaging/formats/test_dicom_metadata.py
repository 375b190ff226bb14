"""Facts that a DICOM states about itself, and the kinds that are refused for them."""

from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from shared.errors import UnsuitableKind
from shared.imaging.formats.decode import decode
from shared.imaging.formats.dicom_metadata import vendor_of
from shared.imaging.image import FileMetadata
from tests.support.dicoms import SECRET, dicom

FILM = np.tile(np.arange(208, dtype=np.uint16) * 20, (208, 1))


def code(value: str, meaning: str = SECRET, **nested: Any) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    for keyword, items in nested.items():
        setattr(item, keyword, Sequence(items))
    return item


def facts(**elements: Any) -> FileMetadata:
    return decode(dicom(FILM, **elements)).metadata


def views(*modifiers: Dataset) -> Sequence:
    return Sequence([code("399162004", ViewModifierCodeSequence=list(modifiers))])


MARKS: dict[str, dict[str, Any]] = {
    "a contrast agent was given": {"ContrastBolusAgent": SECRET},
    "a contrast agent": {"ImageType": ["DERIVED", "PRIMARY", "", "RECOMBINED"]},
    "a stereo pair": {"ImageType": ["ORIGINAL", "PRIMARY", "STEREO_PLUS"]},
    "several views, CC and MLO": {"ViewPosition": "CC", "ViewCodeSequence": Sequence([code("399368009", "")])},
    "both sides": {"Laterality": "L", "ImageLaterality": "R"},
}


REFUSED: dict[str, dict[str, Any]] = {
    "for-processing": {"SOPClassUID": uid.DigitalMammographyXRayImageStorageForProcessing},
    "for-processing by intent": {"PresentationIntentType": "FOR PROCESSING"},
    "tomosynthesis": {"SOPClassUID": uid.BreastTomosynthesisImageStorage, "NumberOfFrames": 1},
    "tomosynthesis by type": {"ImageType": ["ORIGINAL", "PRIMARY", "TOMO_PROJ"]},
    "tomosynthesis projections": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.4"},
    "segmentation": {"SOPClassUID": uid.SegmentationStorage, "Modality": "SEG"},
    "parametric-map": {"SOPClassUID": uid.ParametricMapStorage},
    "secondary-capture": {"SOPClassUID": uid.SecondaryCaptureImageStorage, "ConversionType": "WSD"},
    "secondary-capture of bytes": {"SOPClassUID": uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage},
    "specimen": {"ViewCodeSequence": Sequence([code("127457009")])},
    "specimen by code of old": {"ViewCodeSequence": Sequence([code("G-8310")])},
    "specimen by its label": {"SpecimenDescriptionSequence": Sequence([Dataset()])},
    "quality-control": {"QualityControlImage": "YES"},
    "quality-control of calibration": {"CalibrationImage": "YES"},
    "other-modality": {"SOPClassUID": uid.CTImageStorage, "Modality": "CT"},
    "other-modality of light": {"SOPClassUID": uid.VLPhotographicImageStorage, "Modality": "XC"},
    "other-modality by part": {
        "SOPClassUID": uid.ComputedRadiographyImageStorage,
        "Modality": "CR",
        "BodyPartExamined": "CHEST",
    },
}


class TestDicomMetadata:
    def test_a_file_that_says_nothing_has_unknown_facts(self) -> None:
        assert facts() == FileMetadata(acquisition="digital")
        assert decode(b"P5 200 200 255\n" + bytes(40000)).metadata == FileMetadata()

    @pytest.mark.parametrize(
        ("modifier", "name"),
        [
            (code("399163009"), "magnification"),
            (code("R-102D7"), "spot compression"),
            (code("399209000"), "implant displaced"),
            (code("local", "Implant Displaced"), "implant displaced"),
            (code("local", SECRET), "other modifier"),
        ],
    )
    def test_view_modifiers_are_named_by_code_and_by_meaning(self, modifier: Dataset, name: str) -> None:
        assert facts(ViewCodeSequence=views(modifier)).view_modifiers == (name,)
        assert facts(ViewModifierCodeSequence=Sequence([modifier])).view_modifiers == (name,)

    def test_a_view_without_modifiers_is_told_from_no_view(self) -> None:
        assert facts(ViewCodeSequence=views()).view_modifiers == ()
        assert facts(ViewPosition="MLO").view_modifiers == ()
        assert facts().view_modifiers is None

    def test_magnified_and_partial_views_are_marked_by_their_own_elements_too(self) -> None:
        found = facts(ViewPosition="CC", EstimatedRadiographicMagnificationFactor="1.8", PartialView="YES")
        assert found.view_modifiers == ("magnification", "partial view")
        assert facts(ViewPosition="CC", EstimatedRadiographicMagnificationFactor="1.07").view_modifiers == ()

    @pytest.mark.parametrize("words", MARKS)
    def test_what_a_reader_has_to_know_is_marked(self, words: str) -> None:
        (note,) = decode(dicom(FILM, **MARKS[words])).metadata.notes
        assert words in note
        assert SECRET not in note

    @pytest.mark.parametrize("agent", ["", "NONE", "No"])
    def test_no_contrast_agent_is_none(self, agent: str) -> None:
        same = {"Laterality": "L", "ImageLaterality": "L", "ViewPosition": "MLO"}
        views = Sequence([code("399368009", "")])
        assert decode(dicom(FILM, ContrastBolusAgent=agent, ViewCodeSequence=views, **same)).metadata.notes == ()

    def test_an_implant_is_marked(self) -> None:
        said = [facts(BreastImplantPresent=value).implant for value in ("YES", "NO", None)]
        assert said == [True, False, None]
        assert facts(ViewCodeSequence=views(code("R-102D5")), BreastImplantPresent="NO").implant is True

    @pytest.mark.parametrize(
        ("manufacturer", "vendor"),
        [
            ("HOLOGIC, Inc.", "Hologic"),
            ("LORAD, A Hologic Company", "Hologic"),
            ("GE MEDICAL SYSTEMS", "GE"),
            ("GE Healthcare", "GE"),
            ("Siemens Healthineers", "Siemens"),
            ("FUJIFILM Corporation", "Fujifilm"),
            ("FUJI PHOTO FILM Co., ltd.", "Fujifilm"),
            ("IMS s.r.l.", "IMS Giotto"),
            ("KODAK", "Carestream"),
            ("Genesis Imaging", "other"),
            (SECRET, "other"),
            ("", None),
        ],
    )
    def test_manufacturers_have_one_name_each(self, manufacturer: str, vendor: str | None) -> None:
        assert vendor_of(manufacturer) == vendor
        assert facts(Manufacturer=manufacturer).vendor == vendor

    @pytest.mark.parametrize(
        ("elements", "acquisition"),
        [
            ({}, "digital"),
            ({"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]}, "synthesized"),
            ({"SeriesDescription": "R CC C-View"}, "synthesized"),
            ({"SeriesDescription": "L MLO Intelligent 2D", "ImageType": ["DERIVED", "PRIMARY", "TOMO"]}, "synthesized"),
            ({"SeriesDescription": SECRET}, "digital"),
            ({"SOPClassUID": uid.SecondaryCaptureImageStorage, "ConversionType": "DF"}, "film scan"),
            ({"SOPClassUID": uid.ComputedRadiographyImageStorage, "Modality": "CR"}, "digital"),
        ],
    )
    def test_the_acquisition_is_read(self, elements: dict[str, Any], acquisition: str | None) -> None:
        assert facts(**elements).acquisition == acquisition

    @pytest.mark.parametrize("name", REFUSED)
    def test_what_is_no_mammogram_for_presentation_is_refused_by_its_kind(self, name: str) -> None:
        with pytest.raises(UnsuitableKind, match="; send") as refusal:
            decode(dicom(FILM, **REFUSED[name]))
        assert refusal.value.kind == name.split(" ", maxsplit=1)[0]
        assert "SECRET" not in str(refusal.value)
