#!/bin/bash
# pydicom 3.0.2: Dataset.decompress() leaves a compressed icon image compressed in a file that is now uncompressed.
#
# Guess: after decompress() the data set as a whole is in Explicit VR Little Endian and can be written and sent.
# Seen: the frame is decompressed and the transfer syntax changed; Pixel Data within Icon Image Sequence (0088,0200) still
#       begins with the item tag of encapsulated fragments (FE FF 00 E0), which no reader can know any more, and no error
#       is raised. The SOP Instance UID is a new one by default.
# So:   films of GE's archives, which carry such icons, become files that other readers refuse.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pydicom==3.0.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless


def image(pixels: np.ndarray) -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.2", "1.2.3.4"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OB"
    made.compress(RLELossless, generate_instance_uid=False)
    return made


film, icon = image(np.zeros((64, 64), np.uint8)), image(np.zeros((16, 16), np.uint8))
del icon.file_meta, icon.SOPClassUID, icon.SOPInstanceUID
film.IconImageSequence = Sequence([icon])
film.decompress()
begins = bytes(film.IconImageSequence[0].PixelData[:4])
print(f"{film.file_meta.TransferSyntaxUID.name}; the icon begins {begins.hex(' ')}; UID {film.SOPInstanceUID[:8]}...")
assert film.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
assert film.SOPInstanceUID != "1.2.3.4", "pydicom keeps the UID now"
assert begins == b"\xfe\xff\x00\xe0", "pydicom decompresses the icon now"
PY
