#!/bin/bash
# highdicom 0.28.2: a Secondary Capture can't have the PatientOrientation of an MLO mammogram.
#
# Guess: SCImage takes the value of the film that it shows: for a left MLO view A\FR, as PS3.3 C.7.6.1.1.1 allows
#        several letters in a value, and as mammography units write it.
# Seen:  ValueError: 'FR' is not a valid PatientOrientationValuesBiped. One letter a direction is accepted:
#        A\R of the CC view passes.
# So:    pictures of oblique mammograms have to get their PatientOrientation after the object is made.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
from highdicom.sc import SCImage
from pydicom.uid import generate_uid


def made(orientation: tuple[str, str]) -> str:
    try:
        picture = SCImage(
            pixel_array=np.zeros((8, 8), np.uint8), photometric_interpretation="MONOCHROME2", bits_allocated=8,
            coordinate_system="PATIENT", study_instance_uid=generate_uid(), series_instance_uid=generate_uid(),
            series_number=1, sop_instance_uid=generate_uid(), instance_number=1, manufacturer="Example",
            patient_name="EXAMPLE^ANNA", patient_orientation=orientation, anatomical_orientation_type="BIPED",
        )  # fmt: skip
    except ValueError as error:
        return f"ValueError: {error}"
    return "\\".join(picture.PatientOrientation)


cc, mlo = made(("A", "R")), made(("A", "FR"))
print(f"CC: {cc}\nMLO: {mlo}")
assert cc == "A\\R"
assert mlo.startswith("ValueError"), "highdicom takes it now"
PY
