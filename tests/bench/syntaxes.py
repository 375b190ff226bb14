"""What it costs to decode DICOM, transfer syntax by transfer syntax, beside other decoders; one core.

`MAMMO_TEST_DICOM` names a folder with real films; what is missing there is coded from one of them, or from a generated
film. The other decoders get the frame alone, ours the frame and the whole file; GDCM is called through pydicom.
"""

import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from pydicom import encaps
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from shared.imaging.formats import dicom as reader
from shared.imaging.formats.decode import decode
from shared.imaging.preprocess import LEAST_EDGE
from tests.bench import timing
from tests.bench.films import film
from tests.support.dicoms import LOSSLESS, LOSSY, NATIVE, dicom

BITS, SIZE = 12, 2816
WANTED = 1.2
Frame = Callable[[bytes, int, int], Any]
"""From a frame, its rows and columns, to anything."""


def _openjpeg(frame: bytes, _rows: int, _columns: int) -> Any:
    import openjpeg

    return openjpeg.decode_pixel_data(frame, version=2, photometric_interpretation="MONOCHROME2")


def _pyjpegls(frame: bytes, _rows: int, _columns: int) -> Any:
    import jpeg_ls

    return jpeg_ls.decode_pixel_data(frame)


def _rle(frame: bytes, rows: int, columns: int) -> Any:
    from rle.rle import decode_frame

    return decode_frame(frame, rows * columns, 16, "<")


OTHERS: dict[str, dict[str, Frame]] = {
    "RLE": {
        "pylibjpeg-rle": _rle,
        "imagecodecs": lambda frame, rows, columns: imagecodecs.dicomrle_decode(frame, "<u2", out=rows * columns * 2),
    },
    "JPEG lossless SV1": {
        "imagecodecs libjpeg-turbo": lambda frame, *_: imagecodecs.jpeg8_decode(frame),
        "imagecodecs LJ92": lambda frame, *_: imagecodecs.ljpeg_decode(frame),
    },
    "JPEG-LS": {
        "pyjpegls": _pyjpegls,
        "imagecodecs CharLS": lambda frame, *_: imagecodecs.jpegls_decode(frame),
    },
    "JPEG 2000": {
        "pylibjpeg-openjpeg": _openjpeg,
        "imagecodecs OpenJPEG": lambda frame, *_: imagecodecs.jpeg2k_decode(frame),
    },
    "HTJ2K": {
        "pylibjpeg-openjpeg": _openjpeg,
        "imagecodecs OpenJPEG": lambda frame, *_: imagecodecs.jpeg2k_decode(frame),
    },
    "JPEG baseline": {"imagecodecs libjpeg-turbo": lambda frame, *_: imagecodecs.jpeg8_decode(frame)},
    "JPEG extended": {"imagecodecs libjpeg-turbo": lambda frame, *_: imagecodecs.jpeg8_decode(frame)},
    "uncompressed": {},
}
"""OpenJPH, the fastest for HTJ2K, is told below: it leaves old memory in damaged images, so it does not count."""


def files() -> dict[str, bytes]:
    """A file of each transfer syntax."""
    pixels, found = film(SIZE), {}
    if "MAMMO_TEST_DICOM" in os.environ:
        folder = Path(os.environ["MAMMO_TEST_DICOM"])
        names = {"JPEG lossless SV1": "fodicom_GH133", "JPEG 2000": "derived_GH133_J2Klossless"}
        names |= {"JPEG-LS": "derived_GH133_JPEGLS", "RLE": "derived_GH133_RLE"}
        found = {syntax: (folder / f"{name}.dcm").read_bytes() for syntax, name in names.items()}
        pixels = pixel_array(io.BytesIO(found["RLE"]), decoding_plugin="pydicom")
        found["uncompressed"] = decompressed(found["RLE"])
    encoders = {**LOSSLESS, **LOSSY}
    coded = {"JPEG 2000": "JPEG 2000 lossless", "HTJ2K": "HTJ2K lossless"}
    found.setdefault("uncompressed", dicom(pixels, NATIVE["explicit"], BitsStored=BITS))
    for syntax in OTHERS.keys() - found.keys():
        uid, encode = encoders[coded.get(syntax, syntax)]
        source = (pixels >> (BITS - 8)).astype(np.uint8) if syntax == "JPEG baseline" else pixels
        stored = 8 if syntax == "JPEG baseline" else BITS
        found[syntax] = dicom(source, uid, encode(source), BitsStored=stored)
    return {syntax: found[syntax] for syntax in OTHERS}


def decompressed(data: bytes) -> bytes:
    film, file = pydicom.dcmread(io.BytesIO(data)), io.BytesIO()
    film.decompress(decoding_plugin="pydicom")
    film.save_as(file)
    return file.getvalue()


def sides(syntax: str, data: bytes) -> dict[str, timing.Work]:
    """`ours`, `file` (all that `decode` does), `reduced` (the same for inference) and the others."""
    header = pydicom.dcmread(io.BytesIO(data))
    rows, columns, allocated = header.Rows, header.Columns, header.BitsAllocated
    compared: dict[str, timing.Work] = {"file": lambda: decode(data)}
    if syntax == "uncompressed":
        return {**compared, "ours": compared["file"], "pydicom, as shown": partial(shown_by_pydicom, data)}
    frame = encaps.get_frame(header.PixelData, 0, number_of_frames=1)
    codec = reader._CODECS[header.file_meta.TransferSyntaxUID]
    compared["ours"] = lambda: codec(frame, (columns, rows), allocated, None)
    compared |= {name: partial(other, frame, rows, columns) for name, other in OTHERS[syntax].items()}
    for name, plugin in {"pydicom": "pydicom", "pydicom and GDCM": "gdcm"}.items():
        compared[name] = partial(pixel_array, io.BytesIO(data), raw=True, decoding_plugin=plugin)
    if syntax == "HTJ2K":
        compared["OpenJPH (not counted)"] = lambda: imagecodecs.htj2k_decode(frame)
    if syntax in {"JPEG 2000", "HTJ2K", "JPEG baseline"}:
        compared["reduced"] = lambda: decode(data, LEAST_EDGE)
    return compared


def shown_by_pydicom(data: bytes) -> Any:
    """With its look-up tables or window applied, as `decode` does."""
    film = pydicom.dcmread(io.BytesIO(data))
    return apply_voi_lut(apply_modality_lut(film.pixel_array, film), film)


def main() -> None:
    timing.keep_to_one_core()
    real = "MAMMO_TEST_DICOM" in os.environ
    print(f"DICOM of 12 bits, {'a real film' if real else 'a generated film'}, ms on one core")
    print(f"  {'':20}{'frame':>8}{'file':>8}{'for inference':>15}   the fastest other, and the ratio to it")
    for syntax, data in files().items():
        seen = timing.milliseconds(usable(sides(syntax, data)), seconds=4.0, least=3)
        print(line(syntax, seen), flush=True)


def usable(compared: dict[str, timing.Work]) -> dict[str, timing.Work]:
    """Without those that are not installed or do not read this syntax; ours must."""
    kept = {}
    for name, work in compared.items():
        try:
            work()
        except Exception:
            if name in {"ours", "file", "reduced"}:
                raise
        else:
            kept[name] = work
    return kept


def line(syntax: str, seen: dict[str, float]) -> str:
    others = {name: ms for name, ms in seen.items() if name not in {"ours", "file", "reduced"}}
    counted = {name: ms for name, ms in others.items() if "not counted" not in name}
    fastest = min(counted, key=counted.__getitem__)
    ratio = seen["ours"] / counted[fastest]
    reduced = f"{seen['reduced']:12.1f} ms" if "reduced" in seen else ""
    slower = sorted((ms, name) for name, ms in others.items() if name != fastest)
    rest = ", ".join(f"{name} {ms:.1f}" for ms, name in slower)
    verdict = "" if ratio <= WANTED else f", more than {WANTED}"
    return (
        f"  {syntax:20}{seen['ours']:8.1f}{seen['file']:8.1f}{reduced:>15}   "
        f"{fastest} {counted[fastest]:.1f}: {ratio:.2f}{verdict}" + (f"; {rest}" if rest else "")
    )


if __name__ == "__main__":
    main()
