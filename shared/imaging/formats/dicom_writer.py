"""Write a data set as a DICOM file (PS3.10) whose bytes do not depend on the version of pydicom."""

from io import BytesIO

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

_IMPLEMENTATION = UID("2.25.14677059785508456061357670910242168518"), "MAMMOSTACK"
"""Class UID and name of this writer; otherwise pydicom writes its version, and the digest of a film changes with it."""


def dicom_bytes(elements: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the file of a data set that has its SOP class and instance; pixels have to be in `syntax` already."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = elements.SOPClassUID, elements.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID, meta.ImplementationVersionName = _IMPLEMENTATION
    file = BytesIO()
    dcmwrite(file, FileDataset(file, elements, file_meta=meta, preamble=bytes(128)), enforce_file_format=True)
    return file.getvalue()
