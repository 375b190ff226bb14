#!/bin/bash
# pydicom 3.0.2: PresentationLUTShape INVERSE is applied by the array's own maximum, not by the range of its P-values.
#
# Guess: apply_presentation_lut turns a value of 12 bits into 4095 minus it (PS3.3 C.11.6: the highest P-value is black).
# Seen: it computes arr.max() - arr. 0, 100, 200 and 3000 become 3000 2900 2800 0 instead of 4095 3995 3895 1095.
# So:   the same tissue has another grey level on each film, by its brightest pixel: a label, or a defective detector
#       element, makes the whole film darker.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pydicom==3.0.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_presentation_lut

film = Dataset()
film.PhotometricInterpretation, film.PresentationLUTShape = "MONOCHROME1", "INVERSE"
film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
values = np.array([[0, 100, 200, 3000]], np.uint16)
seen = apply_presentation_lut(values, film).tolist()
right = (4095 - values).tolist()
print(f"seen {seen}, right {right}")
assert seen == [[3000, 2900, 2800, 0]], "pydicom behaves otherwise now"
PY
