"""Prepare the films of a folder whenever a line comes, and print the milliseconds; run by `preparing.py`."""

import sys
import time
from pathlib import Path

import cv2

from shared.errors import ImageError
from shared.imaging.preprocess import Preprocessing, prepare

cv2.setNumThreads(1)
films = [path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.pgm"))]
preprocessing = Preprocessing(size=int(sys.argv[2]))
for _ in sys.stdin:
    start = time.process_time()
    for film in films:
        try:
            prepare(film, preprocessing)
        except ImageError as refused:
            print(f"a film is refused: {refused}", file=sys.stderr)
    print((time.process_time() - start) * 1000 / len(films), flush=True)
