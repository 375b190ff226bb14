"""DICOM files whose bytes follow from what they hold alone."""

from io import BytesIO

import pytest
from pydicom import dcmread, uid
from pydicom.dataset import Dataset

from shared.imaging.formats.dicom_writer import dicom_bytes


def film() -> Dataset:
    elements = Dataset()
    elements.SOPClassUID, elements.SOPInstanceUID = uid.DigitalMammographyXRayImageStorageForPresentation, "1.2.3"
    elements.PatientID = "p1"
    return elements


class TestDicomBytes:
    @pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.ExplicitVRBigEndian])
    def test_what_was_written_is_read(self, syntax: str) -> None:
        elements = film()
        found = dcmread(BytesIO(dicom_bytes(elements, syntax)))
        assert (found.file_meta.TransferSyntaxUID, found.file_meta.MediaStorageSOPInstanceUID) == (syntax, "1.2.3")
        assert found == elements
        assert elements == film()

    def test_the_writer_is_named_and_no_version_of_its_library(self) -> None:
        data = dicom_bytes(film())
        meta = dcmread(BytesIO(data)).file_meta
        assert meta.ImplementationVersionName == "MAMMOSTACK"
        assert meta.ImplementationClassUID == "2.25.14677059785508456061357670910242168518"
        assert b"PYDICOM" not in data
        assert uid.PYDICOM_IMPLEMENTATION_UID.encode() not in data
