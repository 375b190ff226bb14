#!/bin/bash
# highdicom 0.28.2: a patient's name of one part is quoted in a warning.
#
# Guess: a Secondary Capture of a patient whose name has a family name alone, without "^", is made in silence: PS3.5 6.2.1.2
#        lets trailing components and their delimiters be left out, and archives hold such names.
# Seen:  a UserWarning quotes the whole name: "The string "EXAMPLENAME" is unlikely to represent the intended person name
#        since it contains only a single component." The advice is a trailing "^". Python prints
#        warnings to stderr, so the name is in the log.
# So:    a service that must not log patients' names has to silence the warnings of this library as well as its loggers,
#        or give it other names and set the name afterwards.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import warnings

import numpy as np
from highdicom.sc import SCImage
from pydicom.uid import generate_uid


def warned(name: str) -> list[str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        SCImage(
            pixel_array=np.zeros((8, 8), np.uint8), photometric_interpretation="MONOCHROME2", bits_allocated=8,
            coordinate_system="PATIENT", study_instance_uid=generate_uid(), series_instance_uid=generate_uid(),
            series_number=1, sop_instance_uid=generate_uid(), instance_number=1, manufacturer="Example",
            patient_name=name, patient_orientation=("A", "F"), anatomical_orientation_type="BIPED",
        )  # fmt: skip
    return [str(each.message) for each in seen if name in str(each.message)]


whole, one = warned("EXAMPLENAME^ANNA"), warned("EXAMPLENAME")
print(f"with two parts: {whole}\nwith one part: {one}")
assert whole == []
assert one, "highdicom does not quote the name any more"
PY
