"""Secondary Capture (PS3.3 A.8.1), one picture of each film, which every viewer shows."""

from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from services.gateway.objects import modules
from services.gateway.objects.picture import draw
from services.gateway.report import Report, ReportedFilm


def build(report: Report, film: ReportedFilm, film_data: Callable[[str], bytes]) -> Dataset:
    """Build the picture of a film.

    Args:
        film_data: returns a film's DICOM file by its SOP Instance UID.
    """
    pixels = draw(report, film, film_data(film.header.sop_uid))
    found = modules.start_object(report, "sc", str(SecondaryCaptureImageStorage), [film.header])
    found.InstanceNumber = modules.place_of(film)
    found.ConversionType = "WSD"
    found.ImageType = ["DERIVED", "SECONDARY"]
    found.BodyPartExamined, found.BurnedInAnnotation, found.LossyImageCompression = "BREAST", "YES", "00"
    found.ImageLaterality = film.side or "U"
    orientation = film.header.elements.get("PatientOrientation")
    found.PatientOrientation = [str(value) for value in orientation] if orientation else None
    found.ImageComments = "Film with breast outline and class-activation map. For research only."
    found.SourceImageSequence = [modules.reference(film.header.sop_class, film.header.sop_uid)]
    found.SamplesPerPixel, found.PhotometricInterpretation, found.PlanarConfiguration = 3, "RGB", 0
    found.Rows, found.Columns = pixels.shape[:2]
    found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = 8, 8, 7, 0
    found.PixelData = np.ascontiguousarray(pixels).tobytes()
    found["PixelData"].VR = "OB"
    return found
