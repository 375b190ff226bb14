#!/bin/bash
# pydicom 3.0.2: a VOI LUT of 8 bits and more than 256 entries is looked up modulo 256.
#
# Guess: apply_voi_lut follows PS3.3 C.11.2.1.1: the value indexes the table, values beyond it take its last entry.
# Seen: the input is narrowed to uint8 before the look-up, because the table's entries have 8 bits, and its number of
#       entries (4096) is not looked at. Stored values 0, 255, 256 and 4095 become 0 16 0 16 instead of 0 16 16 255.
# So:   films with such a table (12-bit values, 8-bit output) are folded sixteen times over, without any warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pydicom==3.0.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_voi_lut
from pydicom.sequence import Sequence

table = np.rint(np.linspace(0, 255, 4096)).astype("<u2")
item = Dataset()
item.add_new("LUTDescriptor", "US", [4096, 0, 8])
item.add_new("LUTData", "OW", table.tobytes())
film = Dataset()
film.file_meta = FileMetaDataset()
film.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
film.PhotometricInterpretation, film.SamplesPerPixel, film.PixelRepresentation = "MONOCHROME2", 1, 0
film.Rows, film.Columns, film.BitsAllocated, film.BitsStored, film.HighBit = 1, 4, 16, 12, 11
film.VOILUTSequence = Sequence([item])
stored = np.array([[0, 255, 256, 4095]], np.uint16)
seen, right = apply_voi_lut(stored, film).tolist(), table[stored].tolist()
print(f"seen {seen}, right {right}")
assert right == [[0, 16, 16, 255]]
assert seen == [[0, 16, 0, 16]], "pydicom behaves otherwise now"
PY
