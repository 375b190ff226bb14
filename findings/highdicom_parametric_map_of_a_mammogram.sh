#!/bin/bash
# highdicom 0.28.2: no Parametric Map can be made of a mammogram, which has no frame of reference.
#
# Guess: ParametricMap is made of a single image without Frame of Reference UID, as Segmentation is; or
#        it says that the image lacks one.
# Seen:  Segmentation is made. ParametricMap raises RuntimeError: Unexpected mismatch between dimension index values in
#        per-frames functional groups sequence and items in the dimension index sequence.
# So:    the heat of a decision goes into Secondary Captures and reports, and no map is made.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
from highdicom import pm, seg
from highdicom.content import AlgorithmIdentificationSequence, VOILUTTransformation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

film = Dataset()
film.file_meta = FileMetaDataset()
film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
film.SOPClassUID, film.SOPInstanceUID = DigitalMammographyXRayImageStorageForPresentation, "1.2.3.1"
film.StudyInstanceUID, film.SeriesInstanceUID, film.SeriesNumber, film.InstanceNumber = "1.2.3.2", "1.2.3.3", 1, 1
film.PatientName, film.PatientID, film.PatientBirthDate, film.PatientSex = "EXAMPLE^ANNA", "1", "", "F"
film.StudyDate, film.StudyTime, film.StudyID, film.AccessionNumber = "20260101", "080000", "1", "1"
film.ReferringPhysicianName, film.Modality, film.ImageType = "", "MG", ["ORIGINAL", "PRIMARY"]
film.Rows, film.Columns, film.SamplesPerPixel, film.PhotometricInterpretation = 16, 16, 1, "MONOCHROME2"
film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
film.ImagerPixelSpacing = [0.1, 0.1]
film.PixelData = np.zeros((16, 16), "<u2").tobytes()
film["PixelData"].VR = "OW"
common = {
    "series_instance_uid": "1.2.3.4", "series_number": 2, "instance_number": 1, "manufacturer": "Example",
    "manufacturer_model_name": "Example", "software_versions": "1", "device_serial_number": "1",
}  # fmt: skip


def segmentation() -> Dataset:
    algorithm = AlgorithmIdentificationSequence("example", codes.DCM.ArtificialIntelligence, "1")
    segment = seg.SegmentDescription(
        1, "Breast", codes.SCT.Tissue, codes.SCT.Breast, seg.SegmentAlgorithmTypeValues.AUTOMATIC, algorithm
    )
    return seg.Segmentation(
        [film], np.ones((16, 16), np.uint8), seg.SegmentationTypeValues.BINARY, [segment], sop_instance_uid="1.2.3.5",
        **common,
    )  # fmt: skip


def parametric_map() -> Dataset:
    mapping = pm.RealWorldValueMapping("1", "heat", codes.UCUM.NoUnits, (0, 255), intercept=0, slope=1)
    return pm.ParametricMap(
        [film], np.zeros((16, 16), np.uint8), contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping], voi_lut_transformations=[VOILUTTransformation(128, 256)],
        sop_instance_uid="1.2.3.6", **common,
    )  # fmt: skip


print(f"Segmentation: {segmentation().SOPClassUID.name}")
try:
    print(f"Parametric Map: {parametric_map().SOPClassUID.name}")
except RuntimeError as error:
    print(f"Parametric Map: RuntimeError: {error}")
    assert "mismatch between dimension index" in str(error)
else:
    raise SystemExit("highdicom makes it now")
PY
