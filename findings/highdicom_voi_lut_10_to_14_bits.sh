#!/bin/bash
# highdicom 0.28.2: VOI LUTs of 10, 12 and 14 bits are "Invalid LUT descriptor".
#
# Guess: VOILUT.from_dataset reads what PS3.3 C.11.2.1.1 allows: LUT Descriptor's third value is 8 to 16.
# Seen: 8 and 16 alone are accepted; 10, 12 and 14 raise RuntimeError. GE's mammographs write tables of 12 bits.
# So:   a film of such a device can't be shown through highdicom, although pydicom and DCMTK follow its table.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import highdicom
import numpy as np
from pydicom.dataset import Dataset

seen = {}
for bits in (10, 12, 14, 16):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [16, 0, bits])
    item.add_new("LUTData", "OW", np.arange(16, dtype="<u2").tobytes())
    try:
        table = highdicom.VOILUT.from_dataset(item)
        seen[bits] = f"read: {table.lut_data.size} entries"
    except RuntimeError as error:
        seen[bits] = str(error)
    print(bits, seen[bits])
assert seen[16] == "read: 16 entries"
assert all("Invalid LUT descriptor" in seen[bits] for bits in (10, 12, 14)), "highdicom behaves otherwise now"
PY
