"""Write generated films as a mammography unit would: DICOM, Digital Mammography For Presentation (PS3.3 A.26).

Names and numbers of patients are made up. The device has no name, so that no film pretends to be of a known maker.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, generate_uid

from shared.datasets.synthetic_exams import Exposed, draw_exposure
from shared.domain.films import Side, ViewName
from shared.imaging.formats.dicom_writer import dicom_bytes
from shared.imaging.image import Pixels

_VIEWS: dict[ViewName, tuple[str, str]] = {
    "CC": ("399162004", "cranio-caudal"),
    "MLO": ("399368009", "medio-lateral oblique"),
}
_ORIENTATIONS: dict[ViewName, dict[bool, list[str]]] = {
    "CC": {False: ["A", "R"], True: ["P", "L"]},
    "MLO": {False: ["A", "FR"], True: ["P", "FL"]},
}
"""Of rows and columns, by view; True: the chest wall is on the right."""

FOUR_VIEWS: tuple[tuple[Side, ViewName], ...] = (("right", "CC"), ("left", "CC"), ("right", "MLO"), ("left", "MLO"))
_SPACING = "0.2"  # millimetres between pixels of the generated films


@dataclass(frozen=True)
class Patient:
    """A made-up patient and her study."""

    name: str
    number: str
    study_uid: str
    study_date: str
    accession: str = ""

    @classmethod
    def of_exam(cls, exam: int, seed: int, study_date: date) -> "Patient":
        """Return the patient of a generated exam; the same numbers give the same patient and study."""
        study = generate_uid(entropy_srcs=["mammostack generated exam", str(seed), str(exam), study_date.isoformat()])
        return cls(f"GENERATED^EXAM{exam:04d}", f"GEN{exam:04d}", str(study), f"{study_date:%Y%m%d}", f"A{exam:04d}")


def exam_films(exam: int, seed: int, study_date: date) -> Iterator[bytes]:
    """Draw the four films of an exam as DICOM files."""
    patient = Patient.of_exam(exam, seed, study_date)
    for number, (side, view) in enumerate(FOUR_VIEWS, 1):
        drawn = draw_exposure(Exposed(exam, side, view, 1), seed)
        yield dicom_film(drawn.pixels, drawn.bits, patient, side, view, number, walls_right=drawn.wall == "right")


def dicom_film(
    pixels: Pixels, bits: int, patient: Patient, side: Side, view: ViewName, number: int, *, walls_right: bool = False
) -> bytes:
    """Write a film (uint8 or uint16, H x W) as a DICOM file in Explicit VR Little Endian."""
    film = Dataset()
    _describe_study(film, patient, number)
    _describe_view(film, side, view, walls_right)
    _describe_device(film)
    film.SamplesPerPixel, film.PhotometricInterpretation, film.PresentationLUTShape = 1, "MONOCHROME2", "IDENTITY"
    film.Rows, film.Columns = pixels.shape
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, bits, bits - 1, 0
    film.PixelIntensityRelationship, film.PixelIntensityRelationshipSign = "LOG", -1
    film.RescaleIntercept, film.RescaleSlope, film.RescaleType = "0", "1", "US"
    film.WindowCenter, film.WindowWidth = str(2 ** (bits - 1)), str(2**bits)
    film.BurnedInAnnotation, film.LossyImageCompression = "NO", "00"
    film.PixelData = pixels.astype("<u2").tobytes()
    film["PixelData"].VR = "OW"
    return dicom_bytes(film)


def _describe_study(film: Dataset, patient: Patient, number: int) -> None:
    film.SpecificCharacterSet = "ISO_IR 192"
    film.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    film.SOPInstanceUID = generate_uid(entropy_srcs=[patient.study_uid, "film", str(number)])
    film.PatientName, film.PatientID = patient.name, patient.number
    film.PatientBirthDate, film.PatientSex = "19600101", "F"
    film.StudyInstanceUID, film.StudyID = patient.study_uid, patient.accession
    film.AccessionNumber, film.ReferringPhysicianName = patient.accession, ""
    film.StudyDescription = "Generated screening exam"
    film.SeriesInstanceUID = generate_uid(entropy_srcs=[patient.study_uid, "series"])
    film.SeriesNumber, film.InstanceNumber = 1, number
    for each in ("Study", "Series", "Acquisition", "Content"):
        setattr(film, f"{each}Date", patient.study_date)
        setattr(film, f"{each}Time", f"0900{number:02d}")
    film.StudyTime = film.SeriesTime = "090000"


def _describe_view(film: Dataset, side: Side, view: ViewName, walls_right: bool) -> None:
    code, meaning = _VIEWS[view]
    item = _code(code, "SCT", meaning)
    item.ViewModifierCodeSequence = []
    film.ViewCodeSequence = [item]
    film.ImageLaterality = side[0].upper()
    film.PatientOrientation = _ORIENTATIONS[view][walls_right]
    film.BodyPartExamined, film.OrganExposed = "BREAST", "BREAST"
    film.AnatomicRegionSequence = [_code("76752008", "SCT", "Breast")]
    film.BreastImplantPresent, film.PartialView, film.PositionerType = "NO", "NO", "MAMMOGRAPHIC"
    film.ImageType = ["ORIGINAL", "PRIMARY"]


def _describe_device(film: Dataset) -> None:
    film.Modality, film.PresentationIntentType = "MG", "FOR PRESENTATION"
    film.Manufacturer, film.ManufacturerModelName = "", "Generated films"
    film.DeviceSerialNumber, film.SoftwareVersions = "0", "1"
    film.DetectorType, film.FieldOfViewHorizontalFlip, film.FieldOfViewRotation = "DIRECT", "NO", "0"
    film.FieldOfViewOrigin = ["0", "0"]
    film.ImagerPixelSpacing = [_SPACING, _SPACING]
    film.AcquisitionContextSequence = []


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    found = Dataset()
    found.CodeValue, found.CodingSchemeDesignator, found.CodeMeaning = value, scheme, meaning
    return found


def upsampled(pixels: Pixels, times: int) -> Pixels:
    """Repeat each pixel, for films as large as those of hospitals."""
    return np.kron(pixels, np.ones((times, times), pixels.dtype))
