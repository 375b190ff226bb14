"""Headers of films: the elements that eligibility and result objects need, without pixels."""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from shared.digests import sha256_hex
from shared.errors import UndecodableImage
from shared.imaging.formats import dicom_metadata

PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
"""Elements that a result object shares with the films of its study."""

_NEEDED = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"),
    *("ContentDate", "ContentTime", "AcquisitionDate", "AcquisitionTime", "SeriesDate", "SeriesTime"),
    *("Rows", "Columns", "NumberOfFrames", "PatientOrientation", "ImagerPixelSpacing", "PixelSpacing"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("BodyPartExamined", "SamplesPerPixel", "PhotometricInterpretation", "BitsStored"),
    *PATIENT_AND_STUDY,
)
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")

SideLetter = Literal["L", "R"]


@dataclass(frozen=True, eq=False)
class FilmHeader:
    """Elements of a film's header; `elements` is a data set without pixels.

    UIDs are checked, so that they can be compared and hashed; other values are as the file states them.
    """

    elements: Dataset

    @cached_property
    def sop_class(self) -> str:
        """UID of the storage class."""
        return str(self.elements.SOPClassUID)

    @cached_property
    def sop_uid(self) -> str:
        """UID of the film."""
        return str(self.elements.SOPInstanceUID)

    @cached_property
    def series_uid(self) -> str:
        """UID of the film's series."""
        return str(self.elements.SeriesInstanceUID)

    @cached_property
    def study_uid(self) -> str:
        """UID of the film's study."""
        return str(self.elements.StudyInstanceUID)

    @cached_property
    def side(self) -> SideLetter | None:
        """Side of the breast as the file states it."""
        return dicom_metadata.laterality_of(self.elements)

    @cached_property
    def view(self) -> str | None:
        """View, such as CC or MLO, as the file states it."""
        return dicom_metadata.view_of(self.elements)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows, pixels."""
        return int(self.elements.Columns), int(self.elements.Rows)

    def text(self, keyword: str) -> str:
        """Return an element as text, '' if it is absent or empty."""
        value = self.elements.get(keyword)
        return "" if value is None else str(value)


def hashed(uid: str) -> str:
    """Hash a UID for names in the store, in messages and in logs."""
    return sha256_hex(uid.encode())


def film_set(hashes: Iterable[str]) -> str:
    """Digest a set of hashed films, in any order."""
    return sha256_hex("\n".join(sorted(set(hashes))).encode())


def read_header(data: bytes) -> FilmHeader:
    """Read the header of a DICOM file.

    Raises:
        UndecodableImage: the file is no DICOM file, or lacks a valid UID.
    """
    tags = [tag for keyword in _NEEDED if (tag := tag_for_keyword(keyword))]
    try:
        elements: Dataset = pydicom.dcmread(
            io.BytesIO(data), stop_before_pixels=True, force=True, specific_tags=[*tags, *dicom_metadata.TAGS]
        )
        uids = [str(elements.get(keyword, "")) for keyword in _UIDS]
    except Exception:  # noqa: BLE001  pydicom raises whatever it stumbles over, and quotes the file in it
        raise UndecodableImage("the DICOM file can't be read; send the film again") from None
    for keyword, uid in zip(_UIDS, uids, strict=True):
        if len(uid) > 64 or not _UID.fullmatch(uid):
            raise UndecodableImage(f"the DICOM file has no valid {keyword}; send the film as its archive exports it")
    return FilmHeader(elements)


_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
