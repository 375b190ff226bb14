#!/bin/bash
# OpenCV 5.0.0: a TIFF in a compression that its libtiff was built without comes back black, as if it had been decoded.
#
# Guess: imdecode returns None (or raises) for a TIFF that it can't decode, as it does for other formats.
# Seen: for JPEG 2000 (34712) each strip fails with a line on standard error, and the array that is returned has the right
#       size and holds zeros alone.
# So:   "not None and of the size in the header" does not prove that an image was decoded.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import io

import cv2
import numpy as np
import tifffile

pixels = (np.arange(256 * 256, dtype=np.uint32).reshape(256, 256) % 251).astype(np.uint8)
file = io.BytesIO()
tifffile.imwrite(file, pixels, compression="jpeg2000", photometric="minisblack")
assert np.array_equal(tifffile.imread(io.BytesIO(file.getvalue())), pixels)
seen = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_ANYDEPTH)
print(f"shape {seen.shape}, brightest pixel {seen.max()}")
assert seen.shape == pixels.shape
assert not seen.any(), "OpenCV behaves otherwise now"
PY
