"""Segmentation of the breast region, one object of each film: viewers divide a series of films otherwise."""

import cv2
import numpy as np
from highdicom import AlgorithmIdentificationSequence, seg
from highdicom.content import PixelMeasuresSequence
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from services.gateway.objects import modules
from services.gateway.objects.heat import outline_of
from services.gateway.objects.uids import tracking_uid
from services.gateway.report import Report, ReportedFilm

_TISSUE = Code("85756007", "SCT", "Tissue")
_BREAST = Code("76752008", "SCT", "Breast")


def build(report: Report, film: ReportedFilm) -> Dataset | None:
    """Build the binary segmentation of a film; None without an outline."""
    points = outline_of(film)
    if not points or not film.applies:
        return None
    columns, rows = film.header.size
    mask = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(mask, [np.rint(np.array(points) - 0.5).astype(np.int32)], 1)
    algorithm = AlgorithmIdentificationSequence(
        name=f"{modules.MANUFACTURER} segmentation",
        family=Code("123109", "DCM", "Morphological Operations"),
        version=report.model.version,
    )
    found = seg.Segmentation(
        source_images=[film.header.elements],
        pixel_array=mask,
        segmentation_type=seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            seg.SegmentDescription(
                segment_number=1,
                segment_label="Breast",
                segmented_property_category=_TISSUE,
                segmented_property_type=_BREAST,
                algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
            )
        ],
        series_instance_uid="1.2",  # `finish_object` sets what identifies it
        series_number=1,
        sop_instance_uid="1.2",
        instance_number=1,
        manufacturer=modules.MANUFACTURER,
        manufacturer_model_name=modules.MODEL_NAME,
        software_versions=report.model.version,
        device_serial_number="0",
        content_label="BREAST",
        content_description="Breast region. For research only.",
        pixel_measures=_spacing(film),
    )
    modules.finish_object(found, report, "seg", [film.header])
    found.InstanceNumber = modules.place_of(film)
    dimensions = tracking_uid(report, "dimensions", film.header.sop_uid)  # in place of one by chance
    for each in (*found.DimensionOrganizationSequence, *found.DimensionIndexSequence):
        each.DimensionOrganizationUID = dimensions
    orientation = film.header.elements.get("PatientOrientation")
    found.PatientOrientation = [str(value) for value in orientation] if orientation else None
    return found


def _spacing(film: ReportedFilm) -> PixelMeasuresSequence | None:
    spacing = film.header.elements.get("ImagerPixelSpacing")
    return PixelMeasuresSequence([float(each) for each in spacing], slice_thickness=1.0) if spacing else None
